"""`remora completion`: the script with which a shell completes commands, flags and names of adapters."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from typer.completion import get_completion_script  # type: ignore[attr-defined]  # what Typer itself prints

from remora.cli.main import COMPLETION_VARIABLE
from remora.cli.output.console import Mode, Output, OutputOption

app = typer.Typer(add_completion=False)


class Shell(StrEnum):
    """The shells that can be completed."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


ShellArgument = Annotated[Shell, typer.Argument(help="The shell that is to complete.")]


@app.command(epilog='Example: eval "$(remora completion bash)"')
def completion(shell: ShellArgument, output: OutputOption = Mode.HUMAN) -> None:
    """Print a script that completes commands, flags, and the names of adapters in the project's folder.

    `remora help completion` says where each shell wants it.
    """
    script = get_completion_script(prog_name="remora", complete_var=COMPLETION_VARIABLE, shell=shell.value)
    Output(output).result("completion", {"shell": shell.value, "script": script}, script)
