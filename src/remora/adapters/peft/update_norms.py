"""How much an adapter adds to its base model, layer by layer, from its file alone. Runs no model.

The update of a module is scaling · B · A. Its Frobenius norm is the root of the trace of (AAᵀ)(BᵀB), two
square matrices of the rank's size, so the update itself, as large as the module, is never made. Left out are
the magnitudes of DoRA, fused experts, rows of tokens and modules that were trained whole.
"""

from __future__ import annotations

import re
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from remora.adapters.adapter import Adapter, LoraModule
from remora.adapters.peft.base_copies import as_floats
from remora.adapters.peft.lora_tensors import WEIGHTS_FILE
from remora.adapters.peft.tensor_file import TensorEntry, read_chunks, read_header

_LAYER = re.compile(r"\.(?:layers|h|blocks|block)\.(\d+)\.")
_FLOATS = {"F64", "F32", "F16", "BF16"}


def norms_by_layer(adapter: Adapter) -> dict[int | None, float] | None:
    """The norm of the update of each layer's modules together; None is what is in no layer.

    Nothing (None) without numpy, which a machine that only deploys may lack, or for number formats other than
    floating point of 16, 32 and 64 bits.
    """
    path = adapter.path / WEIGHTS_FILE
    entries = {entry.name: entry for entry in read_header(path)}
    modules = [module for module in adapter.modules if not module.parameter]
    used = {entries[name].dtype for module in modules for name in module.tensors}
    if find_spec("numpy") is None or not used <= _FLOATS:
        return None
    squares: dict[int | None, float] = defaultdict(float)
    for module in modules:
        squares[layer_of(module.name)] += _square(path, entries, module)
    return {layer: squares[layer] ** 0.5 for layer in sorted(squares, key=lambda n: (n is None, n or 0))}


def layer_of(module: str) -> int | None:
    """The layer that a module is in, by its name; None for one that is in no layer."""
    found = _LAYER.search(f".{module}.")
    return int(found[1]) if found else None


def _square(path: Path, entries: dict[str, TensorEntry], module: LoraModule) -> float:
    """The squared norm of one module's update."""
    a, b = (_array(path, entries[name]) for name in module.tensors)
    if module.singular:
        a = a * _array(path, entries[module.singular]).reshape(-1, 1)
    return float(((a @ a.T) * (b.T @ b).T).sum()) * module.scaling**2


def _array(path: Path, entry: TensorEntry) -> Any:
    data = b"".join(read_chunks(path, entry))
    return as_floats(data, entry.dtype).astype("f8").reshape(entry.shape)
