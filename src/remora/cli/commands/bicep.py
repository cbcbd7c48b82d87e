"""`remora bicep`: the template that Remora's Bicep compiler writes, alone or beside the Bicep CLI's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from remora.azure.bicep import compile_file, differences, find_cli, run_cli, template_text
from remora.cli.output.console import Mode, Output, OutputOption
from remora.errors import NotFound, VerificationFailed
from remora.project.scaffold import BICEP_FILE

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Compile Bicep files; check them with both compilers."
)

PathArgument = Annotated[
    Path, typer.Argument(help="A Bicep file, or a project's folder.", show_default="this folder")
]
SHOWN = 20
LONGEST = 80


@app.command(epilog="Example: remora bicep check examples/tone")
def check(path: PathArgument = Path(), output: OutputOption = Mode.HUMAN) -> None:
    """Compile with Remora's compiler and, if it is installed, with the Bicep CLI; compare the templates."""
    out = Output(output)
    file, ours = _compiled(path)
    count, command = len(ours["resources"]), find_cli()
    document = {"file": str(file), "resources": count, "cli": " ".join(command) if command else None}
    summary = f"Remora's compiler writes a template with {count} resource{'' if count == 1 else 's'}"
    if command is None:
        note = "no Bicep CLI is on PATH, so nothing was compared"
        out.result("bicep.check", document, f"{file}: {summary}; {note}")
        return
    with out.step(f"compiling with {Path(command[0]).name}"):
        theirs = run_cli(command, file).template
    found = differences(ours, theirs)
    for item in found[:SHOWN]:
        out.note(f"  {item.path}: {_short(item.ours)} here, {_short(item.theirs)} by the Bicep CLI")
    if found:
        raise VerificationFailed(
            f"{file}: the templates of the two compilers differ in {len(found)} places",
            hint=f"the Bicep CLI's is deployed, as long as {command[0]} is installed",
        )
    out.result("bicep.check", document, f"{file}: {summary}, and the Bicep CLI writes the same one")


@app.command(epilog="Example: remora bicep build examples/tone")
def build(path: PathArgument = Path(), output: OutputOption = Mode.HUMAN) -> None:
    """Print the ARM template that Remora's compiler writes. The Bicep CLI is not used."""
    file, template = _compiled(path)
    document = {"file": str(file), "template": template}
    Output(output).result("bicep.build", document, template_text(template).rstrip())


def _compiled(path: Path) -> tuple[Path, dict[str, Any]]:
    """The file that is meant, and its template. A project's files are read within its folder."""
    file = path / BICEP_FILE if path.is_dir() else path
    try:
        return file, compile_file(file, root=file.parent if file is path else path)
    except FileNotFoundError:
        raise NotFound(f"{file} does not exist", hint="name a Bicep file, or run: remora init") from None


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
