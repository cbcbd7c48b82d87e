"""Documents of the command line as the extension's tests know them: `editors/vscode/test/recorded/NAME.json`.

Owns what makes a document one that a reader of the recorded one can read.
`REMORA_RECORD=1 pytest tests/vscode` writes the files anew.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

EXTENSION = Path(__file__).parents[2] / "editors" / "vscode"
RECORDED = EXTENSION / "test" / "recorded"
Json = dict[str, Any]


def check(name: str, document: Json, *, private: Path) -> None:
    """Compare a document with the recorded one, or record it; `private` is this run's folder."""
    path = RECORDED / f"{name}.json"
    if os.environ.get("REMORA_RECORD") == "1":
        text = json.dumps(document, indent=2, ensure_ascii=False)
        path.write_text(text.replace(str(private), "/project") + "\n", encoding="utf-8")
    known = json.loads(path.read_text(encoding="utf-8"))
    differences = list(differing(known, document, name))
    assert not differences, f"record it again with REMORA_RECORD=1: {differences}"


def differing(known: Any, now: Any, path: str) -> list[str]:
    """Where a document lacks a key or has another type than the recorded one.

    A new key is no difference, since nobody reads it yet; null is of every type, an empty list of every list.
    """
    if known is None or now is None:
        return []
    if type(known) is not type(now) and {type(known), type(now)} != {int, float}:
        return [f"{path} was {known!r}, is {now!r}"]
    if isinstance(known, dict):
        gone = [f"{path}.{key} is gone" for key in known if key not in now]
        both = [key for key in known if key in now]
        return gone + [each for key in both for each in differing(known[key], now[key], f"{path}.{key}")]
    if isinstance(known, list) and known and now:
        return [each for item in now for each in _nearest(known, item, f"{path}[]")]
    return []


def _nearest(known: list[Any], item: Any, path: str) -> list[str]:
    """The differences from the item that is most like this one: a list may hold values of several types."""
    return min((differing(each, item, path) for each in known), key=len)
