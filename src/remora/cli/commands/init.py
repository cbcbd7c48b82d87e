"""`remora init`: find base model and adapters, show what was found and rejected, write the missing files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from remora.adapters.adapter import Adapter, short
from remora.adapters.model_set import remark_notes
from remora.adapters.text.text_files import generation_defaults, sampling_note
from remora.cli.models.adapters_option import (
    AdaptersOption,
    chosen_adapters,
    keep_adapters,
)
from remora.cli.models.base_option import BaseOption, base_text, keep_base, prepare_base
from remora.cli.models.found_models import FoundModels, find_models
from remora.cli.output.console import Mode, Output, OutputOption, YesOption
from remora.cli.output.next_command import command_line
from remora.cli.price import FRONT_HINT
from remora.cli.project_folder import FolderArgument, in_project
from remora.errors import InvalidFile
from remora.project.alias import alias_from
from remora.project.files.regular_file import shown
from remora.project.scaffold import (
    BICEP_FILE,
    COMPILED_FILE,
    Scaffold,
    kept_files,
    scaffold_texts,
    write_scaffold,
)
from remora.project.settings import SETTINGS_FILE
from remora.project.workspace import (
    BaseModel,
    Rejected,
)

app = typer.Typer(add_completion=False)

ForceOption = Annotated[
    bool, typer.Option("--force", help="Overwrite existing files, except inference.config.json.")
]


@dataclass(frozen=True, slots=True)
class InitResult:
    """The models found, those rejected and why, and which files were written or kept."""

    root: Path
    base: BaseModel
    base_name: str
    base_origin: str
    adapters: tuple[Adapter, ...]
    rejected: tuple[Rejected, ...]
    skipped: tuple[Rejected, ...]
    scaffold: Scaffold
    warnings: tuple[str, ...]
    waits: bool = False

    def relative(self, path: Path) -> str:
        """A path as users see it: relative to the project's folder if it is inside."""
        inside = path.is_relative_to(self.root)
        return shown(path.relative_to(self.root).as_posix() or "." if inside else path)


@app.command(epilog="Example: remora init examples/tone")
@in_project(several=True)
def init(
    folder: FolderArgument = Path(),
    base: BaseOption = None,
    adapters: AdaptersOption = None,
    force: ForceOption = False,
    yes: YesOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Find base model and adapters; write remora.toml and infra/ if they are missing."""
    out = Output(output, assume_yes=yes)
    named = chosen_adapters(folder.resolve(), adapters or ())
    prepare_base(folder, base, out, adapter=named[0] if named else None)
    result = init_project(folder, force=force, base=base, named=named)
    for warning in result.warnings:
        out.warn(warning)
    out.result("init", document_of(result), Text(_lines(folder, result)))


def init_project(
    folder: Path, *, force: bool, base: str | None = None, named: Sequence[Path] = ()
) -> InitResult:
    """Search a folder and write the files that are missing; safe to run again.

    An existing `remora.toml` lists the folders to use, unless it is to be overwritten; `named` adapters are
    added to it. Raises ProjectIncomplete, before anything is written, if there is no base or no adapter.
    """
    found = find_models(folder, ignore_settings=force, base=base, named=named)
    root = found.root
    scaffold = write_scaffold(root, _scaffold_of(found), force=force)
    keep_base(found.settings)
    if named and Path(SETTINGS_FILE) in scaffold.kept:
        known = found.settings.adapters
        keep_adapters(root, ((each.name, each.path) for each in found.adapters if each.name not in known))
    warnings = (
        *found.notes,
        *(_unlisted(found) if found.chosen else ()),
        *remark_notes(found.adapters),
        *_sampling(found),
        *_served_in_nf4(found, scaffold),
        *_check_template(root, scaffold),
    )
    return InitResult(
        root=root,
        base=found.base,
        base_name=found.base_name,
        base_origin=found.base_origin,
        adapters=found.adapters,
        rejected=found.rejected,
        skipped=found.skipped,
        scaffold=scaffold,
        warnings=warnings,
        waits=found.settings.scale.sleeps and not found.settings.scale.front,
    )


def write_missing(folder: Path, out: Output, *, base: str | None = None, named: Sequence[Path] = ()) -> None:
    """Do what `remora init` does, for a folder without a template, or with another base or more adapters."""
    if (folder / BICEP_FILE).exists() and base is None and not named:
        return
    prepare_base(folder, base, out, adapter=named[0] if named else None)
    with out.step("searching the folder") as say:
        found = init_project(folder, force=False, base=base, named=named)
        say(f"found {len(found.adapters)} adapters and wrote infra/")
    out.note(f"base {found.base_name}: {found.relative(found.base.path)}; {found.base_origin}")
    for warning in found.warnings:
        out.warn(warning)


def unwritten_files(folder: Path) -> dict[Path, str]:
    """What `write_missing` would write: texts by their paths in the project."""
    if (folder / BICEP_FILE).exists():
        return {}
    found = find_models(folder)
    texts = _scaffold_of(found)
    return {path: texts[path] for path in texts.keys() - kept_files(found.root, texts, force=False)}


def document_of(result: InitResult) -> dict[str, Any]:
    """The result as data."""
    return {
        "folder": str(result.root),
        "base": {
            "name": result.base_name,
            "path": result.relative(result.base.path),
            "found": result.base_origin,
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
        "skipped": [{"path": result.relative(item.path), "reason": item.reason} for item in result.skipped],
        "written": [path.as_posix() for path in result.scaffold.written],
        "kept": [path.as_posix() for path in result.scaffold.kept],
        "warnings": list(result.warnings),
    }


def _scaffold_of(found: FoundModels) -> dict[Path, str]:
    return scaffold_texts(
        base=found.relative(found.base.path) if found.base_is_below else base_text(found.settings),
        name=found.settings.model.name or alias_from(found.base_name),
        adapters={adapter.name: found.relative(adapter.path) for adapter in found.adapters},
        prompt_templates=found.new_prompt_templates(),
        quantize="nf4" if found.why_nf4 else None,
    )


def _sampling(found: FoundModels) -> list[str]:
    notes = [sampling_note(found.base_name, generation_defaults(found.base.path))]
    notes += [sampling_note(adapter.name, adapter.generation_defaults) for adapter in found.adapters]
    return [note for note in notes if note]


def _served_in_nf4(found: FoundModels, scaffold: Scaffold) -> list[str]:
    if not found.why_nf4 or Path(SETTINGS_FILE) not in scaffold.written:
        return []
    return [
        f'{SETTINGS_FILE} sets quantize = "nf4" under [serve], to serve the base as it was in training:'
        f' {found.why_nf4}. quantize = "none" serves it in 16 bits'
    ]


def _unlisted(models: FoundModels) -> list[str]:
    """Adapters in the folder that are not served, because the user's `remora.toml` lists others."""
    served = {
        path.resolve() for path in (*models.settings.adapters.values(), *(a.path for a in models.adapters))
    }
    others = {
        folder.name: models.relative(folder.path)
        for folder in models.lying_there
        if folder.path not in served
    }
    return [
        f'{path} is not served; to serve it, write {name} = "{path}" under [adapters] in {SETTINGS_FILE}'
        for name, path in others.items()
    ]


def _check_template(root: Path, scaffold: Scaffold) -> tuple[str, ...]:
    """Compile the user's own template, and warn about what it lacks."""
    if BICEP_FILE not in scaffold.kept:
        return ()
    from remora.azure.bicep import compile_file, template_text
    from remora.project.files.json_file import replace_text

    path = root / BICEP_FILE
    try:
        template = compile_file(path, root)
    except InvalidFile as error:
        return (f"{error.message}; {error.hint}",)
    if not (root / COMPILED_FILE).exists():
        replace_text(root / COMPILED_FILE, template_text(template))
    parameters = template.get("parameters")
    if isinstance(parameters, Mapping) and "apiKey" in parameters:
        return ()
    return (
        f"{BICEP_FILE} has no apiKey parameter: its endpoint is open to everyone."
        " `remora init --force` replaces it with one that has a key.",
    )


def _lines(folder: Path, result: InitResult) -> str:
    base = result.base
    lines = [
        f"base     {result.base_name}  {result.relative(base.path)}  {base.architecture or base.model_type}",
        f"         {result.base_origin}",
    ]
    lines += [
        f"adapter  {adapter.name}  {result.relative(adapter.path)}  rank {adapter.settings.rank},"
        f" {len(adapter.modules)} modules, {short(adapter.digest)}"
        for adapter in result.adapters
    ]
    lines += [f"rejected {result.relative(item.path)}: {item.reason}" for item in result.rejected]
    lines += [f"skipped  {result.relative(item.path)}: {item.reason}" for item in result.skipped]
    lines += [f"wrote    {path.as_posix()}" for path in result.scaffold.written]
    lines += [f"kept     {path.as_posix()}" for path in result.scaffold.kept]
    lines += [f"sleeps   {FRONT_HINT}"] if result.waits else []
    return "\n".join([*lines, f"Next: {command_line('up', folder)}"])
