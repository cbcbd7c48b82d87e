"""What only the engine can say of models, asked on this machine before anything is made in a cloud.

Asks where the files leave a doubt and the engine's packages are installed here; else the replica says it.
"""

from __future__ import annotations

import functools
from importlib.util import find_spec
from pathlib import Path

from remora.adapters.adapter import Adapter
from remora.adapters.model_set import ModelSet
from remora.adapters.peft.base_shape import BaseShape
from remora.adapters.text.token_reach import stays_within
from remora.project.architectures import TRIED

NEEDED = ("torch", "transformers", "safetensors", "llguidance")


def try_models(models: ModelSet) -> None:
    """As `try_base` and, for every adapter, `try_adapter`."""
    try_base(models.base)
    for adapter in models.adapters:
        try_adapter(models.base, adapter)


def try_base(base: BaseShape) -> None:
    """Raise what the engine would raise for the kind of model that this is."""
    if base.engine == "torch" and base.model_type not in TRIED and _can_ask():
        _try_base(base.path, (base.path / "config.json").stat().st_mtime_ns)


def try_adapter(base: BaseShape, adapter: Adapter) -> None:
    """Raise AdapterRejected where the engine could not use the adapter's own tokenizer."""
    tokens = _token_count(base, adapter)
    if base.engine == "echo" or not tokens or not adapter.text_files or not _can_ask():
        return
    if not stays_within(adapter.path, adapter.text_files, tokens):
        from remora.server.engines import try_tokenizer

        try_tokenizer(base.path, adapter, tokens)


def _token_count(base: BaseShape, adapter: Adapter) -> int:
    if adapter.token_rows is not None:
        return adapter.token_rows.token_count
    return base.modules.get(base.head, (0, 0))[0]


def _can_ask() -> bool:
    return all(find_spec(name) is not None for name in NEEDED)


@functools.lru_cache(maxsize=8)
def _try_base(path: Path, _changed_ns: int) -> None:
    from remora.server.engines import try_torch

    try_torch(path)
