"""`remora init`: find base model and adapters, say what was found and rejected, write the project's files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from remora.adapters.adapter import Adapter, short
from remora.adapters.inspect import inspect_adapter, read_base
from remora.cli.context import FolderArgument
from remora.cli.output import Mode, Output, OutputOption
from remora.errors import AdapterRejected, InvalidFile, ProjectIncomplete
from remora.project.alias import alias_from, is_alias
from remora.project.model_name import last_name, same_name
from remora.project.scaffold import BICEP_FILE, COMPILED_FILE, Scaffold, write_scaffold
from remora.project.settings import SETTINGS_FILE, Settings, load_settings
from remora.project.stock_scripts import read_stock_scripts
from remora.project.workspace import (
    AdapterFolder,
    BaseModel,
    Rejected,
    Workspace,
    find_workspace,
    read_base_model,
)

app = typer.Typer(add_completion=False)

ForceOption = Annotated[
    bool, typer.Option("--force", help="Overwrite the files that are there, but for inference.config.json.")
]


@dataclass(frozen=True, slots=True)
class InitResult:
    """What was found, what was rejected and why, and which files were written or kept."""

    root: Path
    base: BaseModel
    base_name: str
    adapters: tuple[Adapter, ...]
    rejected: tuple[Rejected, ...]
    scaffold: Scaffold
    warnings: tuple[str, ...]

    def relative(self, path: Path) -> str:
        """A path as people see it: from the project's folder where it lies inside."""
        inside = path.is_relative_to(self.root)
        return path.relative_to(self.root).as_posix() or "." if inside else path.as_posix()


@app.command(epilog="Example: remora init examples/tone")
def init(
    folder: FolderArgument = Path(),
    force: ForceOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Find base model and adapters; write remora.toml and infra/ where they are missing."""
    out = Output(output)
    result = init_project(folder, force=force)
    for warning in result.warnings:
        out.warn(warning)
    out.result("init", document_of(result), Text(_lines(folder, result)))


def init_project(folder: Path, *, force: bool) -> InitResult:
    """Look through a folder and write what is missing; safe to run again.

    A `remora.toml` that is there says which folders are meant, unless it is to be overwritten. Raises
    ProjectIncomplete, before anything is written, where there is no base model or no adapter.
    """
    workspace = find_workspace(folder)
    root = workspace.root
    settings = load_settings(root, os.environ)
    chosen = bool(settings.adapters) and not force
    found = _listed(settings) if chosen else workspace.adapters
    base = _choose_base(workspace, settings)
    name = settings.model.name or _served_name(base.name or _common_base_name(found) or "base-model")
    adapters, refused = _inspect(root, base, (name, *settings.model.also_known_as), found)
    rejected = (*workspace.rejected, *refused)
    if not adapters:
        raise ProjectIncomplete(
            f"no usable adapter below {root}{_because(root, rejected)}",
            hint="put the folder that PEFT saved (adapter_config.json, adapter_model.safetensors) below it",
        )
    prompt = None if chosen else read_stock_scripts(root).prompt_template
    scaffold = write_scaffold(
        root,
        base=base.path.relative_to(root).as_posix()
        if base.path.is_relative_to(root)
        else base.path.as_posix(),
        name=alias_from(name) if not settings.model.name else name,
        adapters={adapter.name: adapter.path.relative_to(root).as_posix() for adapter in adapters},
        prompt_template=prompt.value if prompt else None,
        force=force,
    )
    warnings = (*(_unlisted(workspace, settings) if chosen else ()), *_check_template(root, scaffold))
    return InitResult(root, base, name, adapters, rejected, scaffold, warnings)


def document_of(result: InitResult) -> dict[str, Any]:
    """The result as data."""
    return {
        "folder": str(result.root),
        "base": {
            "name": result.base_name,
            "path": result.relative(result.base.path),
            "architecture": result.base.architecture,
            "model_type": result.base.model_type,
            "vocab_size": result.base.vocab_size,
            "context_length": result.base.context_length,
            "size_bytes": result.base.size_bytes,
        },
        "adapters": [
            {
                "name": adapter.name,
                "path": result.relative(adapter.path),
                "digest": adapter.digest,
                "rank": adapter.settings.rank,
                "modules": len(adapter.modules),
                "size_bytes": adapter.size_bytes,
            }
            for adapter in result.adapters
        ],
        "rejected": [{"path": result.relative(item.path), "reason": item.reason} for item in result.rejected],
        "written": [path.as_posix() for path in result.scaffold.written],
        "kept": [path.as_posix() for path in result.scaffold.kept],
        "warnings": list(result.warnings),
    }


def _listed(settings: Settings) -> tuple[AdapterFolder, ...]:
    return tuple(AdapterFolder(alias, path, None) for alias, path in settings.adapters.items())


def _served_name(name: str) -> str:
    return name if is_alias(name) else alias_from(name)


def _choose_base(workspace: Workspace, settings: Settings) -> BaseModel:
    """The base that is set, else the only one, else the one that the adapters name."""
    if settings.model.base is not None:
        return read_base_model(settings.model.base, within=workspace.root)
    bases = workspace.bases
    if not bases:
        raise ProjectIncomplete(
            f"no base model below {workspace.root}{_because(workspace.root, workspace.rejected)}",
            hint="put its folder (config.json, *.safetensors, tokenizer files) below it",
        )
    if len(bases) == 1:
        return bases[0]
    wanted = _common_base_name(workspace.adapters)
    named = [base for base in bases if wanted and base.name and same_name(base.name, wanted)]
    if len(named) == 1:
        return named[0]
    paths = ", ".join(base.path.relative_to(workspace.root).as_posix() for base in bases)
    raise ProjectIncomplete(
        f"{len(bases)} base models below {workspace.root}: {paths}",
        hint=f'choose one: write base = "…" under [model] in {SETTINGS_FILE}, or set REMORA_MODEL_BASE',
    )


def _common_base_name(found: tuple[AdapterFolder, ...]) -> str | None:
    """What most adapters say they were trained on."""
    names = Counter(name for folder in found if (name := last_name(folder.base_model_name or "")))
    return names.most_common(1)[0][0] if names else None


def _inspect(
    root: Path, base: BaseModel, names: tuple[str, ...], found: tuple[AdapterFolder, ...]
) -> tuple[tuple[Adapter, ...], list[Rejected]]:
    shape = read_base(base.path, names=names)
    adapters: list[Adapter] = []
    rejected: list[Rejected] = []
    for folder in found:
        alias = f"{folder.name[:55]}-adapter" if folder.name == names[0] else folder.name
        try:
            adapters.append(inspect_adapter(alias, folder.path, shape))
        except AdapterRejected as error:
            reason = error.message.replace(f"{folder.path} ", "").replace(f"{root}{os.sep}", "")
            rejected.append(Rejected(folder.path, f"{reason} ({error.hint})" if error.hint else reason))
    return tuple(adapters), rejected


def _unlisted(workspace: Workspace, settings: Settings) -> list[str]:
    """Adapters that lie there and are not served, because the user's `remora.toml` lists others."""
    listed = {path.resolve() for path in settings.adapters.values()}
    found = {
        folder.name: folder.path.relative_to(workspace.root).as_posix()
        for folder in workspace.adapters
        if folder.path not in listed
    }
    return [
        f'{path} is not served; to serve it, write {name} = "{path}" under [adapters] in {SETTINGS_FILE}'
        for name, path in found.items()
    ]


def _because(root: Path, rejected: tuple[Rejected, ...]) -> str:
    if not rejected:
        return ""
    reasons = (f"{item.path.relative_to(root).as_posix()}: {item.reason}" for item in rejected)
    return "; rejected: " + "; ".join(reasons)


def _check_template(root: Path, scaffold: Scaffold) -> tuple[str, ...]:
    """Compile a template that the user brought, and say what it lacks."""
    if BICEP_FILE not in scaffold.kept:
        return ()
    from remora.azure.bicep import compile_bicep, template_text
    from remora.project.json_file import replace_text

    path = root / BICEP_FILE
    try:
        template = compile_bicep(path.read_text(encoding="utf-8-sig"), path, root=root)
    except InvalidFile as error:
        return (f"{error.message}; {error.hint}",)
    if not (root / COMPILED_FILE).exists():
        replace_text(root / COMPILED_FILE, template_text(template))
    parameters = template["parameters"]
    if isinstance(parameters, Mapping) and "apiKey" in parameters:
        return ()
    return (
        f"{BICEP_FILE} has no apiKey parameter: its endpoint is open to everyone."
        " `remora init --force` replaces it by one with a key.",
    )


def _lines(folder: Path, result: InitResult) -> str:
    base = result.base
    lines = [
        f"base     {result.base_name}  {result.relative(base.path)}  {base.architecture or base.model_type}"
    ]
    lines += [
        f"adapter  {adapter.name}  {result.relative(adapter.path)}  rank {adapter.settings.rank},"
        f" {len(adapter.modules)} modules, {short(adapter.digest)}"
        for adapter in result.adapters
    ]
    lines += [f"rejected {result.relative(item.path)}: {item.reason}" for item in result.rejected]
    lines += [f"wrote    {path.as_posix()}" for path in result.scaffold.written]
    lines += [f"kept     {path.as_posix()}" for path in result.scaffold.kept]
    return "\n".join([*lines, f"Next: remora up {folder}"])
