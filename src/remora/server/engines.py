"""Which engine serves. Owns the table of their names; each is imported only where it is chosen."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from remora.adapters.adapter import Adapter
from remora.engine.base import Engine
from remora.errors import InvalidInput, listed

if TYPE_CHECKING:
    from remora.engine.text.adapter_text import AdapterTokenizers


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Which engine runs the model, and how; the names are those of [serve] in remora.toml."""

    engine: str = "torch"
    dtype: str = "auto"
    quantize: str = "none"
    native: str = "auto"
    speculation: str = "auto"
    max_running_requests: int = 16
    max_queued_requests: int = 64

    @classmethod
    def of(cls, values: Mapping[str, str | int]) -> Self:
        """Of a release, which may be older or newer than this code: what it does not say has its default."""
        default = cls()
        return cls(
            engine=str(values.get("engine", default.engine)),
            dtype=str(values.get("dtype", default.dtype)),
            quantize=str(values.get("quantize", default.quantize)),
            native=str(values.get("native", default.native)),
            speculation=str(values.get("speculation", default.speculation)),
            max_running_requests=int(values.get("max_running_requests", default.max_running_requests)),
            max_queued_requests=int(values.get("max_queued_requests", default.max_queued_requests)),
        )


def load_engine(base_path: Path, settings: EngineSettings) -> Engine:
    """The engine with the base model loaded, its adapters not yet. Raises InvalidInput for an unknown one."""
    name = settings.engine
    if name not in _LOADERS:
        hint = f"there are: {listed(_LOADERS)}"
        raise InvalidInput(f"there is no engine {name!r}", hint=hint, param="serve.engine")
    return _LOADERS[name](base_path, settings)


def try_torch(base_path: Path) -> None:
    """Refuse a base model as `load_engine` would, for what kind of model it is; reads no weights."""
    from remora.engine.torch.model.trial import check_without_weights

    check_without_weights(base_path)


def try_tokenizer(base_path: Path, adapter: Adapter, token_count: int) -> None:
    """Raise AdapterRejected where no engine could use the adapter's own tokenizer with this many tokens."""
    _tokenizers(base_path).of(adapter, token_count)


@functools.lru_cache(maxsize=1)
def _tokenizers(base_path: Path) -> AdapterTokenizers:
    from remora.engine.text.adapter_text import AdapterTokenizers

    return AdapterTokenizers(base_path)


def _torch(base_path: Path, settings: EngineSettings) -> Engine:
    from remora.engine.torch.compiler_on_demand import import_compiler_on_demand

    import_compiler_on_demand()
    from remora.engine.torch.engine import TorchEngine

    return TorchEngine.load(
        base_path,
        dtype=settings.dtype,
        quantize=settings.quantize,
        native=settings.native,
        speculation=settings.speculation,
        max_running_requests=settings.max_running_requests,
        max_queued_requests=settings.max_queued_requests,
    )


def _echo(_base_path: Path, _settings: EngineSettings) -> Engine:
    from remora.engine.echo import EchoEngine

    return EchoEngine()


def _vllm(base_path: Path, settings: EngineSettings) -> Engine:
    from remora.engine.vllm.child import ChildSettings
    from remora.engine.vllm.engine import VllmEngine

    if settings.quantize != "none":
        raise InvalidInput(
            f"the vllm engine does not quantise to {settings.quantize}",
            hint='choose engine = "torch", or serve a checkpoint that is quantised already',
            param="serve.quantize",
        )
    child = ChildSettings(dtype=settings.dtype, max_running_requests=settings.max_running_requests)
    return VllmEngine.load(base_path, child, max_queued_requests=settings.max_queued_requests)


_LOADERS: Mapping[str, Callable[[Path, EngineSettings], Engine]] = {
    "torch": _torch,
    "vllm": _vllm,
    "echo": _echo,
}
