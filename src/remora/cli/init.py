"""`remora init`: find base model and adapters, say what was found and rejected, write the project's files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from remora.adapters.adapter import Adapter, short
from remora.cli.context import FolderArgument
from remora.cli.found_models import FoundModels, find_models
from remora.cli.output import Mode, Output, OutputOption
from remora.errors import InvalidFile
from remora.project.alias import alias_from
from remora.project.scaffold import BICEP_FILE, COMPILED_FILE, Scaffold, write_scaffold
from remora.project.settings import SETTINGS_FILE
from remora.project.workspace import (
    BaseModel,
    Rejected,
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
    found = find_models(folder, ignore_settings=force)
    root, base = found.root, found.base
    name = found.settings.model.name or alias_from(found.base_name)
    scaffold = write_scaffold(
        root,
        base=found.relative(base.path),
        name=name,
        adapters={adapter.name: found.relative(adapter.path) for adapter in found.adapters},
        prompt_templates=found.new_prompt_templates(),
        force=force,
    )
    warnings = (*(_unlisted(found) if found.chosen else ()), *_check_template(root, scaffold))
    return InitResult(root, base, found.base_name, found.adapters, found.rejected, scaffold, warnings)


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


def _unlisted(models: FoundModels) -> list[str]:
    """Adapters that lie there and are not served, because the user's `remora.toml` lists others."""
    listed = {path.resolve() for path in models.settings.adapters.values()}
    others = {
        folder.name: models.relative(folder.path)
        for folder in models.lying_there
        if folder.path not in listed
    }
    return [
        f'{path} is not served; to serve it, write {name} = "{path}" under [adapters] in {SETTINGS_FILE}'
        for name, path in others.items()
    ]


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
