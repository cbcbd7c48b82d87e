"""Low-rank updates on the base model's linear layers. Owns the adapters' weights and which rows use which.

y = W x + scale · scaling · B A x, for each row with its own adapter, at the scale its request asks for. Work
grows with the adapters in the batch, not with those that are loaded (see `lora_stack.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from remora.adapters.adapter import Adapter, AppliedAdapter, Digest, LoraModule
from remora.adapters.lora_tensors import WEIGHTS_FILE
from remora.engine.torch.batch import Batch
from remora.engine.torch.lora_stack import LoraPair
from remora.engine.torch.projection import LoraMask, Projection, replace_linears
from remora.engine.torch.seats import Seats
from remora.errors import AdapterRejected

KEY_PREFIX = "base_model.model."
PROBLEMS_SHOWN = 5
# In a stack every row meets every adapter, and 0 times infinity is no number: none may come near overflow.
LARGEST_VALUE = 1e15


class LoraSet:
    """All adapters on one model. Puts projections in the place of its linear layers."""

    def __init__(self, model: nn.Module, *, quantize: str = "none") -> None:
        self.quantize = quantize
        self._mask = LoraMask()
        self._projections = replace_linears(model, self._mask, quantize=quantize)
        self._places = {
            name: (projection, index)
            for projection in self._projections
            for index, name in enumerate(projection.names)
        }
        self._adapters: dict[Digest, Mapping[str, LoraPair]] = {}
        self._seats = Seats()

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
        """Take in pairs from `read` and count them; the first request with them seats them in the stacks."""
        self._adapters[digest] = pairs
        installed = self.installed(digest)
        return AppliedAdapter(digest, len(installed), sum(pair.parameter_count for pair in installed))

    def installed(self, digest: Digest) -> list[LoraPair]:
        """What is in place of an adapter: the proof of `install` and of `remove`."""
        return [pair for name, pair in self._adapters.get(digest, {}).items() if name in self._places]

    def remove(self, digest: Digest) -> None:
        """Forget an adapter; an unknown digest is a no-op."""
        self._adapters.pop(digest, None)
        self._seats.leave(digest)

    def activate(self, batch: Batch) -> None:
        """Say which rows of the next pass use which adapter."""
        if not batch.groups:
            self._mask.rows = self._mask.last_rows = None
            return
        self._seat({group.adapter for group in batch.groups})
        # Made on the CPU: a group at a time on a GPU would be a launch for each.
        mask = torch.zeros((batch.token_ids.shape[1], self._seats.column_count))
        for group in batch.groups:
            seat = self._seats[group.adapter]
            mask[group.rows, seat.first_row : seat.first_row + seat.row_count] = group.scale
        anywhere = self._projections[0]
        self._mask.rows = mask.to(dtype=anywhere.dtype, device=anywhere.device)
        self._mask.last_rows = self._mask.rows[batch.last_rows]

    def _seat(self, wanted: set[Digest]) -> None:
        """Have these in the stacks; only what is not there yet is copied."""
        ranks = {
            digest: max(pair.rank for pair in self._adapters[digest].values()) for digest in sorted(wanted)
        }
        new = self._seats.take(ranks)
        if new is None:
            for projection in self._projections:
                projection.lora.clear(self._seats.column_count)
        for digest in ranks if new is None else new:
            by_projection: dict[Projection, dict[int, LoraPair]] = {
                projection: {} for projection in self._projections
            }
            for name, pair in self._adapters[digest].items():
                projection, index = self._places[name]
                by_projection[projection][index] = pair
            for projection, pairs in by_projection.items():
                projection.lora.write(self._seats[digest], pairs)

    def _misfits(self, module: LoraModule, tensors: Mapping[str, torch.Tensor]) -> list[str]:
        place = self._places.get(module.name)
        if place is None:
            return [f"{module.name} is no linear layer of the base model"]
        projection, index = place
        part = projection.parts[index]
        key_a, key_b = _keys(module)
        wanted = {
            key_a: (module.rank, projection.in_features),
            key_b: (part.stop - part.start, module.rank),
        }
        problems = []
        for key, shape in wanted.items():
            tensor = tensors.get(key)
            if tensor is None:
                problems.append(f"{key} is missing")
            elif tuple(tensor.shape) != shape:
                problems.append(f"{key} has shape {tuple(tensor.shape)} where the base model needs {shape}")
            elif not bool(tensor.abs().max() < LARGEST_VALUE):
                problems.append(f"{key} holds values that are not finite, or beyond {LARGEST_VALUE:g}")
        return problems

    def _pair(self, module: LoraModule, tensors: Mapping[str, torch.Tensor]) -> LoraPair:
        projection, _ = self._places[module.name]
        a, b = (tensors[key].float() for key in _keys(module))
        # Scaled before it is rounded, so that it is rounded once.
        a, b = (part.to(device=projection.device, dtype=projection.dtype) for part in (a, b * module.scaling))
        return LoraPair(a, b.t().contiguous())


def _read_tensors(adapter: Adapter) -> dict[str, torch.Tensor]:
    """All but copies of the base's own tensors, which were found equal when the adapter was inspected."""
    try:
        with safe_open(adapter.path / WEIGHTS_FILE, "pt") as file:
            names = [name for name in file.keys() if name not in adapter.base_copies]  # noqa: SIM118
            tensors: dict[str, torch.Tensor] = {name: file.get_tensor(name) for name in names}
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
