"""Low-rank updates on the base model's linear layers. Owns the weights of adapters and how rows find them.

y = W x + scale · scaling · B A x, for each row with its own adapter, at the scale its request asks for. Work
grows with the adapters in the batch, not with those that are loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import linear

from remora.adapters.adapter import Adapter, AppliedAdapter, Digest, LoraModule
from remora.adapters.lora_tensors import WEIGHTS_FILE
from remora.engine.torch.batch import Batch, RowGroup
from remora.errors import AdapterRejected

KEY_PREFIX = "base_model.model."
PROBLEMS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class LoraPair:
    """A (rank, in) and B (out, rank) of one module."""

    a: torch.Tensor
    b: torch.Tensor
    scaling: float

    @property
    def parameter_count(self) -> int:
        return self.a.numel() + self.b.numel()


class ActiveRows:
    """Which rows of the running forward pass use which adapter; set before each pass."""

    def __init__(self) -> None:
        self.groups: tuple[RowGroup, ...] = ()
        self.last_groups: tuple[RowGroup, ...] = ()

    def set(self, batch: Batch) -> None:
        self.groups = batch.groups
        self.last_groups = batch.last_groups


class LoraLinear(nn.Module):
    """A linear layer that adds to each row what the row's adapter says."""

    def __init__(self, base: nn.Linear, active: ActiveRows, *, sees_last_rows: bool) -> None:
        super().__init__()
        self.base = base
        self.pairs: dict[Digest, LoraPair] = {}
        self._active = active
        self._sees_last_rows = sees_last_rows  # the head computes only the rows whose logits are wanted

    @property
    def weight(self) -> torch.Tensor:
        """Models look at the dtype and device of a projection's weight."""
        return self.base.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.base(x)
        for group in self._active.last_groups if self._sees_last_rows else self._active.groups:
            pair = self.pairs.get(group.adapter)
            if pair is not None:
                low_rank = linear(x[..., group.rows, :], pair.a)
                out[..., group.rows, :] += linear(low_rank * (pair.scaling * group.scale), pair.b)
        return out


class LoraSet:
    """All adapters on one model."""

    def __init__(self, model: nn.Module, head: nn.Module | None) -> None:
        self._model = model
        self._head = head
        self._active = ActiveRows()
        self._linears = {
            name: module for name, module in model.named_modules() if isinstance(module, nn.Linear)
        }
        self._adapted: dict[str, LoraLinear] = {}

    def read(self, adapter: Adapter) -> dict[str, LoraPair]:
        """The adapter's pairs by module name, checked against the model; changes nothing.

        Raises AdapterRejected with all that does not fit.
        """
        tensors = _read_tensors(adapter)
        problems = [problem for module in adapter.modules for problem in self._misfits(module, tensors)]
        expected = {key for module in adapter.modules for key in _keys(module)}
        problems += [f"{key} belongs to no adapted module" for key in sorted(tensors.keys() - expected)]
        if not adapter.modules:
            problems.append("it adapts no module")
        if problems:
            raise _rejected(adapter, problems)
        return {module.name: self._pair(module, tensors) for module in adapter.modules}

    def install(self, digest: Digest, pairs: Mapping[str, LoraPair]) -> AppliedAdapter:
        """Apply pairs from `read` and count what is in place."""
        for name, pair in pairs.items():
            self._adapted_module(name).pairs[digest] = pair
        installed = self.installed(digest)
        return AppliedAdapter(digest, len(installed), sum(pair.parameter_count for pair in installed))

    def installed(self, digest: Digest) -> list[LoraPair]:
        """What is in place of an adapter: the proof of `install` and of `remove`."""
        return [module.pairs[digest] for module in self._adapted.values() if digest in module.pairs]

    def remove(self, digest: Digest) -> None:
        """Forget an adapter; an unknown digest is a no-op."""
        for module in self._adapted.values():
            module.pairs.pop(digest, None)

    def activate(self, batch: Batch) -> None:
        """Say which rows of the next pass use which adapter."""
        self._active.set(batch)

    def _misfits(self, module: LoraModule, tensors: Mapping[str, torch.Tensor]) -> list[str]:
        base = self._linears.get(module.name)
        if base is None:
            return [f"{module.name} is no linear layer of the base model"]
        key_a, key_b = _keys(module)
        wanted = {key_a: (module.rank, base.in_features), key_b: (base.out_features, module.rank)}
        problems = []
        for key, shape in wanted.items():
            tensor = tensors.get(key)
            if tensor is None:
                problems.append(f"{key} is missing")
            elif tuple(tensor.shape) != shape:
                problems.append(f"{key} has shape {tuple(tensor.shape)} where the base model needs {shape}")
            elif not bool(tensor.isfinite().all()):
                problems.append(f"{key} holds values that are not finite")
        return problems

    def _pair(self, module: LoraModule, tensors: Mapping[str, torch.Tensor]) -> LoraPair:
        weight = self._linears[module.name].weight
        a, b = (tensors[key].to(device=weight.device, dtype=weight.dtype) for key in _keys(module))
        return LoraPair(a, b, module.scaling)

    def _adapted_module(self, name: str) -> LoraLinear:
        """The module that carries adapters, put in the base layer's place at first use."""
        if name not in self._adapted:
            base = self._linears[name]
            adapted = LoraLinear(base, self._active, sees_last_rows=base is self._head)
            self._model.set_submodule(name, adapted)
            self._adapted[name] = adapted
        return self._adapted[name]


def _read_tensors(adapter: Adapter) -> dict[str, torch.Tensor]:
    try:
        tensors: dict[str, torch.Tensor] = load_file(adapter.path / WEIGHTS_FILE)
    except (OSError, SafetensorError) as error:
        raise _rejected(adapter, [f"{WEIGHTS_FILE} cannot be read: {error}"]) from error
    return tensors


def _keys(module: LoraModule) -> tuple[str, str]:
    stem = f"{KEY_PREFIX}{module.name}"
    return f"{stem}.lora_A.weight", f"{stem}.lora_B.weight"


def _rejected(adapter: Adapter, problems: list[str]) -> AdapterRejected:
    shown = "; ".join(problems[:PROBLEMS_SHOWN])
    more = len(problems) - PROBLEMS_SHOWN
    return AdapterRejected(
        f"adapter {adapter.name!r} does not fit the base model: {shown}"
        + (f"; and {more} more" if more > 0 else ""),
        hint="train the adapter on this base model, or serve it with the one it was trained on",
    )
