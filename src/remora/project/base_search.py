"""Where a project's base model is, in one order: what was named, what the adapters claim, what lies around.

Owns the order, and says where it was found. Looks at names and JSON; the hub itself is asked elsewhere.
"""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from remora.errors import BaseMissing, ProjectIncomplete, RemoraError, listed
from remora.project.files.json_file import read_object
from remora.project.files.regular_file import shown
from remora.project.hub_cache import cached_models, hub_cache
from remora.project.model_name import is_hub_id, last_name, same_name, unquantized
from remora.project.settings import SETTINGS_FILE, Settings
from remora.project.skipped import ADAPTER_CONFIG
from remora.project.workspace import (
    MODEL_CONFIG,
    NO_TOKENIZER,
    TEXT_SETTINGS,
    TOKENIZERS,
    BaseModel,
    Rejected,
    Workspace,
    read_base_model,
)

MOST_BESIDE = 500  # folders beside the project that are looked at
_CHOOSE = f'choose one: write base = "…" under [model] in {SETTINGS_FILE}, or set REMORA_MODEL_BASE'


@dataclass(frozen=True, slots=True)
class Claim:
    """What an adapter says it was trained on: a path or a hub id, and there a revision ("" for none)."""

    text: str
    revision: str
    adapter: Path


@dataclass(frozen=True, slots=True)
class LocatedBase:
    """A base model, and in words where it was found. `is_below`: nobody named it; it lies in the project."""

    model: BaseModel
    origin: str
    is_below: bool = False


def locate_base(
    settings: Settings,
    workspace: Workspace,
    adapters: Iterable[Path],
    environment: Mapping[str, str] | None = None,
) -> LocatedBase:
    """The base model that is meant. Raises BaseMissing, or ProjectIncomplete where several may be meant."""
    environment = os.environ if environment is None else environment
    if settings.model.base is not None:
        return _named(settings, settings.model.base, workspace.root)
    claims = claims_of(adapters)
    if settings.model.hub_id is not None:
        claims = (Claim(settings.model.hub_id, "", settings.root),)
        found = _cached(claims, environment)
    else:
        named = _claimed_path(claims, workspace.root)
        is_inside = named is not None and named.model.path.is_relative_to(workspace.root)
        found = (
            (named if is_inside else None)
            or _below(workspace, claims)  # in a copy of a project, a path may still lead to the original
            or named
            or _beside(workspace.root, claims)
            or _cached(claims, environment)
            or _only_one(workspace)
        )
    return found or _missing(settings, workspace, claims, environment)


def claims_of(adapters: Iterable[Path]) -> tuple[Claim, ...]:
    """What these adapters say they were trained on, what most of them say first."""
    claims: dict[str, Claim] = {}
    counted: Counter[str] = Counter()
    for path in adapters:
        try:
            config = read_object(path / ADAPTER_CONFIG)
        except (RemoraError, OSError):
            continue  # the inspection of adapters says what is wrong with it
        text, revision = config.get("base_model_name_or_path"), config.get("revision")
        if isinstance(text, str) and text.strip():
            counted[text] += 1
            claims.setdefault(text, Claim(text, revision if isinstance(revision, str) else "", path))
    return tuple(claims[text] for text, _ in counted.most_common())


def adapter_paths(settings: Settings, workspace: Workspace) -> list[Path]:
    """The adapters that say which base is meant: those that are listed, else all that were found.

    One that cannot be used says it too.
    """
    if settings.adapters:
        return list(settings.adapters.values())
    return [*(item.path for item in workspace.adapters), *(item.path for item in workspace.rejected)]


def check_folder(base: Path) -> None:
    """Raises ProjectIncomplete where a base model that was named is not there."""
    if not base.is_dir():
        raise ProjectIncomplete(
            f"the base model {base} is not on this machine",
            hint="correct `base` under [model] in remora.toml, or copy it from the share with:"
            " remora import --fetch",
        )


def _named(settings: Settings, path: Path, root: Path) -> LocatedBase:
    origin = settings.origins["model.base"]
    check_folder(path)
    words = "REMORA_MODEL_BASE names it" if origin == "environment" else f"{origin} names it"
    return LocatedBase(read_base_model(path, within=root), words)


def _claimed_path(claims: Sequence[Claim], root: Path) -> LocatedBase | None:
    for claim in claims:
        for path in _paths_of(claim, root):
            if found := _usable(path):
                return LocatedBase(found, f"{_config_of(claim, root)} names the folder {claim.text!r}")
    return None


def _paths_of(claim: Claim, root: Path) -> Iterator[Path]:
    """What the text may mean as a path: as it is, from the adapter's folder, from the project's."""
    text = claim.text.replace("\\", "/") if "\\" in claim.text else claim.text
    if PureWindowsPath(text).drive and os.name != "nt":
        return  # a folder of another machine: its name is looked for
    path = Path(text).expanduser() if text.startswith("~/") else Path(text)
    for candidate in (claim.adapter / path, root / path):
        if candidate.resolve() != claim.adapter.resolve():
            yield candidate


def _below(workspace: Workspace, claims: Sequence[Claim]) -> LocatedBase | None:
    """The one whose name the adapters give, or that has none and is the only one."""
    bases = workspace.bases
    for claim in claims:
        fitting = [base for base in bases if _is_named(base, claim)]
        if len(fitting) == 1:
            return LocatedBase(fitting[0], "it lies in the project", is_below=True)
    told = any(last_name(claim.text) for claim in claims)
    if len(bases) == 1 and not (told and bases[0].name):
        return _only_one(workspace)
    return None


def _only_one(workspace: Workspace) -> LocatedBase | None:
    """The only base in the project: that its name is another one is for the inspection of adapters."""
    bases = workspace.bases
    return LocatedBase(bases[0], "it lies in the project", is_below=True) if len(bases) == 1 else None


def _beside(root: Path, claims: Sequence[Claim]) -> LocatedBase | None:
    """A folder beside the project, whose name an adapter gives."""
    try:
        folders = [path for path in root.parent.iterdir() if path != root and not path.name.startswith(".")]
        folders = [path for path in sorted(folders)[:MOST_BESIDE] if (path / MODEL_CONFIG).is_file()]
    except OSError:
        return None
    models = [found for path in folders if (found := _usable(path))]
    for claim in claims:
        for model in models:
            if _is_named(model, claim):
                return LocatedBase(model, "it lies beside the project")
    return None


def _cached(claims: Sequence[Claim], environment: Mapping[str, str]) -> LocatedBase | None:
    for claim in claims:
        for hub_id, snapshot in cached_models(claim.text, claim.revision, environment):
            if found := _usable(snapshot):
                return LocatedBase(found, f"it is in the Hugging Face cache, as {hub_id}")
    return None


def _usable(path: Path) -> BaseModel | None:
    try:
        return read_base_model(path) if (path / MODEL_CONFIG).is_file() else None
    except (RemoraError, OSError):
        return None


def _is_named(base: BaseModel, claim: Claim) -> bool:
    wanted = last_name(claim.text)
    return bool(wanted and base.name and same_name(base.name, wanted))


def _config_of(claim: Claim, root: Path) -> str:
    path = claim.adapter / ADAPTER_CONFIG
    return shown(path.relative_to(root) if path.is_relative_to(root) else path)


def _missing(
    settings: Settings, workspace: Workspace, claims: Sequence[Claim], environment: Mapping[str, str]
) -> LocatedBase:
    """Raises, always, with everything that is known."""
    root = workspace.root
    if len(workspace.bases) > 1:
        paths = listed(base.path.relative_to(root).as_posix() for base in workspace.bases)
        raise ProjectIncomplete(f"{len(workspace.bases)} base models below {root}: {paths}", hint=_CHOOSE)
    wanted = claims[0] if claims else None
    where = f"no base model was found below {shown(root)}"
    if wanted is not None:
        named = "remora.toml names" if settings.model.hub_id else "the adapters were trained on"
        where += f" or beside it; {named} {wanted.text!r}, which is not in {hub_cache(environment)} either"
    if passed := [*workspace.rejected, *_linked(root)]:
        reasons = (f"{shown(_inside(root, item.path))}: {item.reason}" for item in passed)
        where += f"; rejected: {listed(reasons, separator='; ')}"
    if copying := _tokenizer_of_an_adapter(workspace):
        raise ProjectIncomplete(where, hint=f"copy the adapter's tokenizer to the base: {copying}")
    links = list(_linked(root))
    base = shown(_inside(root, links[0].path)) if links else "PATH"
    downloadable = _downloadable(wanted, named=settings.model.hub_id is not None) if wanted else None
    raise BaseMissing(
        where,
        hint=f"name its folder (config.json, *.safetensors, tokenizer files): remora init --base {base}",
        hub_id=downloadable if not links else None,
        revision=wanted.revision if wanted and downloadable == wanted.text else "",
    )


def _tokenizer_of_an_adapter(workspace: Workspace) -> str:
    """The shell command that gives a base without a tokenizer that of an adapter; "" where there is none."""
    bases = [item.path for item in workspace.rejected if item.reason == NO_TOKENIZER]
    files = [
        path
        for adapter in workspace.adapters[:1]
        for name in (*TOKENIZERS, *TEXT_SETTINGS)
        if (path := adapter.path / name).is_file()
    ]
    if len(bases) != 1 or not any(path.name in TOKENIZERS for path in files):
        return ""
    return shlex.join(["cp", *(shown(path) for path in files), shown(bases[0])])


def _downloadable(claim: Claim, *, named: bool) -> str | None:
    """The id on the hub of the original of what was claimed, to be quantized here where it should be."""
    if not is_hub_id(claim.text) or ("/" not in claim.text and not named) or last_name(claim.text) is None:
        return None
    return unquantized(claim.text)


def _linked(root: Path) -> Iterator[Rejected]:
    """Links out of the project that lead to a base model: followed only when somebody names them."""
    for path in sorted(root.iterdir()):
        if path.is_symlink() and path.is_dir() and not path.resolve().is_relative_to(root) and _usable(path):
            yield Rejected(path, "a link that leads out of the project, which is followed where it is named")


def _inside(root: Path, path: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) else path
