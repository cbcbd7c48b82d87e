"""`defaultCommands`: the commands that the container runs, and whose program they start. Runs nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from importlib.resources import files

_STOCK_PROGRAM = re.compile(r"\bgradio_chat\.py\b")
_RELEASE = re.compile(r"/\.remora/releases/")
_START = re.compile(r"\bstart\.py\b")


class Program(StrEnum):
    """Whose program the commands start: AI Toolkit's, Remora's, or another."""

    STOCK = "stock"
    REMORA = "remora"
    OTHER = "other"


def program_of(commands: Iterable[str]) -> Program:
    """Whose program these commands start."""
    text = joined(commands)
    if _RELEASE.search(text) and _START.search(text):
        return Program.REMORA
    return Program.STOCK if _STOCK_PROGRAM.search(text) else Program.OTHER


def joined(commands: Iterable[str]) -> str:
    """One command line, joined as the template does it: a failed step does not stop the next."""
    return "; ".join(commands)


def remora_commands() -> Sequence[str]:
    """The commands that start Remora's endpoint, as `remora init` writes them."""
    text = files("remora.project").joinpath("template", "inference.parameters.json").read_text("utf-8")
    commands: list[str] = json.loads(text)["parameters"]["defaultCommands"]["value"]
    return tuple(commands)
