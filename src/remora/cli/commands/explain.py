"""`remora explain`: what an error code means, and what to do about it."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated

import typer
from rich.text import Text

from remora.cli.help.explanations import EXPLANATIONS, error_types
from remora.cli.output.console import Mode, Output, OutputOption
from remora.errors import NotFound, listed

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: remora explain adapter_rejected")
def explain(
    code: Annotated[
        str, typer.Argument(help="The code that an error shows in brackets.", show_default="all codes")
    ] = "",
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Say what an error code means and what to do. Without a code, list all of them."""
    out = Output(output)
    if not code:
        out.result("explain", {"codes": list(EXPLANATIONS)}, Text("\n".join(EXPLANATIONS)))
        return
    told = EXPLANATIONS.get(code)
    if told is None:
        near = get_close_matches(code, EXPLANATIONS, n=3, cutoff=0.4) or list(EXPLANATIONS)
        raise NotFound(f"there is no error code {code!r}", hint=f"try one of: {listed(near)}")
    error = next(each for each in error_types() if each.code == code)
    document = {
        "code": code,
        "exit_code": error.exit_code,
        "http_status": error.http_status,
        "cause": told.cause,
        "remedy": told.remedy,
    }
    heading = f"{code}  (exit code {error.exit_code}, HTTP status {error.http_status})"
    out.result("explain", document, Text(f"{heading}\n\n{told.cause}\n\nWhat to do: {told.remedy}"))
