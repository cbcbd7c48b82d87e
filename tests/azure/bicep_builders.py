"""Bicep sources compiled for a test, as the JSON that would be sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from remora.azure.bicep import compile_bicep, template_text

DECLARED = "param p string\nparam n int\nparam b bool\nparam o object\nparam l array\n"


def compiled(source: str, path: Path = Path("x.bicep"), root: Path | None = None) -> dict[str, Any]:
    """The template of a source, through JSON and back."""
    template: dict[str, Any] = json.loads(template_text(compile_bicep(source, path, root)))
    return template


def variable(expression: str, before: str = "") -> Any:
    """What a variable of this expression becomes; p, n, b, o and l are parameters."""
    return compiled(f"{DECLARED}{before}\nvar v = {expression}\n")["variables"]["v"]


def resource(source: str, name: str) -> dict[str, Any]:
    """The one resource of a source whose name is `name`."""
    (found,) = [entry for entry in compiled(source)["resources"] if entry["name"] == name]
    return dict(found)
