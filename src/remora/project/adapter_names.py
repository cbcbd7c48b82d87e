"""The aliases of adapters that nobody has named: made from their paths, each unique, as short as can be."""

from __future__ import annotations

from pathlib import Path

from remora.project.alias import alias_from, numbered
from remora.project.model_name import STEP

GENERIC_PARTS = frozenset(
    {"adapter", "adapters", "lora", "loras", "model", "models", "output", "outputs", "final"}
    | {"gpu_model", "gpu-cpu_model", "checkpoint"}
)


def unique_names(paths: list[Path], root: Path) -> dict[Path, str]:
    """The shortest alias from the end of each path that no other path shares."""
    telling = {path: _telling_parts(path, root) for path in paths}
    names: dict[Path, str] = {}
    for path in paths:
        parts = telling[path]
        names[path] = alias_from("-".join(parts))
        for count in range(1, len(parts) + 1):
            tail = parts[-count:]
            if sum(other[-count:] == tail for other in telling.values()) == 1:
                names[path] = alias_from("-".join(tail))
                break
    return _numbered(names)


def _telling_parts(path: Path, root: Path) -> list[str]:
    parts = [part for part in path.relative_to(root).parts if not _is_generic(part)]
    return parts or [root.name if not _is_generic(root.name) else "adapter"]


def _is_generic(part: str) -> bool:
    return part.lower() in GENERIC_PARTS or STEP.fullmatch(part.lower()) is not None


def _numbered(names: dict[Path, str]) -> dict[Path, str]:
    """Tell equal aliases apart by a number."""
    taken: set[str] = set()
    unique: dict[Path, str] = {}
    for path, name in names.items():
        unique[path] = numbered(name, taken)
        taken.add(unique[path])
    return unique
