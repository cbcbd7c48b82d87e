"""Which engine serves. Owns the table of their names; each is imported only where it is chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from remora.engine.base import Engine
from remora.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How the engine runs the model; the names are those of [serve] in remora.toml."""

    dtype: str = "auto"
    max_running_requests: int = 16
    max_queued_requests: int = 64


def load_engine(name: str, base_path: Path, settings: EngineSettings) -> Engine:
    """The engine of this name with the base model loaded, its adapters not yet."""
    if name not in _LOADERS:
        hint = f"there are: {', '.join(_LOADERS)}"
        raise InvalidInput(f"there is no engine {name!r}", hint=hint, param="--engine")
    return _LOADERS[name](base_path, settings)


def _torch(base_path: Path, settings: EngineSettings) -> Engine:
    from remora.engine.torch.engine import TorchEngine

    return TorchEngine.load(
        base_path,
        dtype=settings.dtype,
        max_running_requests=settings.max_running_requests,
        max_queued_requests=settings.max_queued_requests,
    )


def _echo(_base_path: Path, _settings: EngineSettings) -> Engine:
    from remora.engine.echo import EchoEngine

    return EchoEngine()


_LOADERS: Mapping[str, Callable[[Path, EngineSettings], Engine]] = {"torch": _torch, "echo": _echo}
