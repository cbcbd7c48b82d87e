"""`remora import`: show how Remora reads an AI Toolkit project, and switch it to Remora's program."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from remora.adapters.adapter import short
from remora.cli.models.fetching import fetch_models
from remora.cli.models.imported import ImportedProject, import_project
from remora.cli.output.console import Mode, Output, OutputOption, YesOption
from remora.cli.output.next_command import command_line
from remora.cli.project_folder import FolderArgument, in_project
from remora.cli.resolution import resolution_rows, resolution_text
from remora.errors import ProjectIncomplete
from remora.project.toolkit.commands import Program
from remora.project.toolkit.switch import DIFFERENCES, IMPROVEMENTS, FileChange, apply_switch

app = typer.Typer(add_completion=False)

WriteOption = Annotated[
    bool,
    typer.Option(
        "--write", help="Switch the project to Remora's program; without it, ask or only show the changes."
    ),
]
FetchOption = Annotated[
    bool,
    typer.Option("--fetch", help="First copy base model and adapters from the share into the folder."),
]
_QUESTION = "Switch the project to Remora's program?"
_PROGRAMS = {
    Program.STOCK: "AI Toolkit's own program",
    Program.REMORA: "Remora's endpoint",
    Program.OTHER: "a program of your own",
}


@app.command("import", epilog="Example: remora import my-project --write")
@in_project()
def import_(
    folder: FolderArgument = Path(),
    write: WriteOption = False,
    fetch: FetchOption = False,
    yes: YesOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Show how Remora reads an AI Toolkit project; switch it to Remora's program on request."""
    out = Output(output, assume_yes=yes)
    if fetch:
        fetch_models(folder, out)
    with out.step("reading the project"):
        project = import_project(folder.resolve(), out)
    for warning in project.warnings:
        out.warn(warning)
    changes = project.switch() if write or project.models else ()
    asked = bool(changes) and not write and out.asks
    if asked:
        out.note("\n".join([_understood(project), "", *_offer(changes)]))
    accepted = bool(changes) and (write or out.agrees(_QUESTION, default=False))
    if accepted:
        apply_switch(project.root, changes)
    document = _document(project, changes, written=accepted)
    shown = [] if asked else [_understood(project), ""]
    out.result(
        "import", document, Text("\n".join([*shown, *_outcome(folder, project, document, asked=asked)]))
    )


def _document(project: ImportedProject, changes: Sequence[FileChange], *, written: bool) -> dict[str, Any]:
    models, template = project.models, project.scripts.prompt_template
    return {
        "folder": str(project.root),
        "base": _base_document(project),
        "adapters": [
            {
                "name": adapter.name,
                "path": models.relative(adapter.path),
                "digest": None if models.share else adapter.digest,
                "prompt_template": project.prompt_of(adapter.name),
            }
            for adapter in models.adapters
        ]
        if models
        else [],
        "share": models.share or None if models else None,
        "missing": project.why.message if project.why else None,
        "prompt_template": {"text": template.value, "origin": template.origin} if template else None,
        "parameters_file": project.parameters.path.relative_to(project.root).as_posix(),
        "program": project.program.value,
        "commands": project.commands,
        "resolved": resolution_rows(project.resolved, (), None),
        "warnings": list(project.warnings),
        "switch": {
            "changes": [change.path.as_posix() for change in changes],
            "diff": "".join(change.diff() for change in changes),
            "improvements": list(IMPROVEMENTS) if changes else [],
            "differences": list(DIFFERENCES) if changes else [],
            "written": written,
        },
    }


def _base_document(project: ImportedProject) -> dict[str, Any] | None:
    models = project.models
    if models is None:
        return None
    return {
        "name": models.base_name,
        "path": models.relative(models.base.path),
        "architecture": models.base.architecture,
    }


def _outcome(folder: Path, project: ImportedProject, document: dict[str, Any], *, asked: bool) -> list[str]:
    """The result, and the next command."""
    switch = document["switch"]
    if switch["written"]:
        return [*(f"wrote    {path}" for path in switch["changes"]), f"Next: {command_line('up', folder)}"]
    if asked:
        return [f"Nothing was changed. Accept it later with: {command_line('import', folder, '--write')}"]
    if switch["changes"]:
        return [switch["diff"], *_promises(), f"Accept it with: {command_line('import', folder, '--write')}"]
    if project.why is not None:
        return _without_models(folder, project, project.why)
    return [f"Nothing to switch. Next: {command_line('up', folder)}"]


def _understood(project: ImportedProject) -> str:
    models, template = project.models, project.scripts.prompt_template
    lines = []
    if models is not None:
        base = models.base
        kind = base.architecture or base.model_type
        lines.append(f"base     {models.base_name}  {models.relative(base.path)}  {kind}")
        lines += [
            f"adapter  {adapter.name}  {models.relative(adapter.path)}  rank {adapter.settings.rank},"
            f" {len(adapter.modules)} modules{'' if models.share else f', {short(adapter.digest)}'}"
            for adapter in models.adapters
        ]
        if models.share:
            lines.append(
                f"on share {models.share!r}: they are served from there; nothing is copied to this machine"
            )
        lines += [f"rejected {models.relative(item.path)}: {item.reason}" for item in models.rejected]
    if template is not None:
        lines.append(f"prompt   {template.value!r}  {template.origin}")
    lines.append(f"runs     {_PROGRAMS[project.program]}: {'; '.join(project.commands)}")
    lines.append(f"values   {project.parameters.path.relative_to(project.root).as_posix()}")
    return "\n".join([*lines, resolution_text(resolution_rows(project.resolved, (), None))])


def _without_models(folder: Path, project: ImportedProject, why: ProjectIncomplete) -> list[str]:
    known = project.config.file_share or project.finetuning.file_share
    if known is None:
        return [f"missing  {why.message}", f"Next: {why.hint}"]
    return [
        f"missing  {why.message}",
        f"They may be on share {known!r}. Copy them here with: {command_line('import', folder, '--fetch')}",
    ]


def _offer(changes: Sequence[FileChange]) -> list[str]:
    return [*(change.diff() for change in changes), *_promises()]


def _promises() -> list[str]:
    return [
        "What improves:",
        *(f"  + {text}" for text in IMPROVEMENTS),
        "What differs:",
        *(f"  ~ {text}" for text in DIFFERENCES),
    ]
