"""What an endpoint serves: one base model and the adapters on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from remora.adapters.adapter import Adapter


@dataclass(frozen=True, slots=True)
class ModelSet:
    """A base model folder, the name clients call it by, and its adapters by alias."""

    base_name: str
    base_path: Path
    adapters: tuple[Adapter, ...]
