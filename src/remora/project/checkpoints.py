"""The checkpoints of a training: folders `checkpoint-N` with an adapter. Owns their order and which is taken.

Reads names of files alone. What a checkpoint holds is for the inspection of adapters to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from remora.errors import listed
from remora.project.skipped import ADAPTER_CONFIG

_NAME = re.compile(r"checkpoint-(\d{1,12})")
_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest whole checkpoint in a folder, and what to say about the choice."""

    name: str
    text: str


def newest_of(folder: Path, names: Iterable[str]) -> Newest | None:
    """The newest of the checkpoints among a folder's folders that has weights; None where there is none."""
    whole = checkpoints_in(folder, names)
    if not whole:
        return None
    text = f"no adapter but in checkpoints; {whole[-1]}, the newest, is taken"
    if len(whole) > 1:
        text += f", not {listed(whole[:-1])} (all are told by: remora adapters list --checkpoints)"
    return Newest(whole[-1], text)


def checkpoints_in(folder: Path, names: Iterable[str]) -> list[str]:
    """Those with an adapter and its weights, oldest first. A training that was killed may leave others."""
    found = [name for name in names if _NAME.fullmatch(name) and _is_whole(folder / name)]
    return sorted(found, key=step_of)


def step_of(name: str) -> int:
    """The step of training after which a checkpoint was written; -1 for another name."""
    found = _NAME.fullmatch(name)
    return int(found[1]) if found else -1


def _is_whole(path: Path) -> bool:
    if path.is_symlink() or not (path / ADAPTER_CONFIG).is_file():
        return False
    return any((path / name).is_file() for name in _WEIGHTS)
