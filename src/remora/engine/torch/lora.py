"""Low-rank updates on the base model's linear layers. Owns the adapters' weights and which rows use which.

y = W x + scale · scaling · B A x, for each row with its own adapter, at the scale its request asks for. Work
grows with the adapters in the batch, not with those that are loaded (see `lora_bank.py`).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator, Mapping

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from remora.adapters.adapter import Adapter, AppliedAdapter, Digest, LoraModule
from remora.adapters.lora_tensors import WEIGHTS_FILE
from remora.engine.torch.batch import Batch, RowGroup
from remora.engine.torch.lora_bank import LoraBank, LoraPair
from remora.engine.torch.lora_runs import Place, PlacedRows, plan_runs
from remora.engine.torch.native.layers import in_one_place
from remora.engine.torch.projection import LoraStep, Projection, replace_linears
from remora.engine.torch.seats import Seats
from remora.engine.torch.sequence import AdapterUse
from remora.errors import AdapterRejected

KEY_PREFIX = "base_model.model."
PROBLEMS_SHOWN = 5
LARGEST_VALUE = 1e15  # products of these are finite in float32
NARROWEST = 8


class LoraSet:
    """All adapters on one model. Puts projections in the place of its linear layers."""

    def __init__(
        self, model: nn.Module, *, quantize: str = "none", library: ctypes.CDLL | None = None
    ) -> None:
        self.quantize = quantize
        self.library = library
        self._step = LoraStep()
        self.projections = replace_linears(model, self._step, quantize=quantize, streams=library is not None)
        self._places = {
            name: (projection, index)
            for projection in self.projections
            for index, name in enumerate(projection.names)
        }
        self.adapters: dict[Digest, Mapping[str, LoraPair]] = {}
        self._seats: dict[int, Seats] = {}  # by width

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
        pairs = {module.name: self._pair(module, tensors) for module in adapter.modules}
        return pairs if self.library is None else in_one_place(pairs)

    def install(self, digest: Digest, pairs: Mapping[str, LoraPair]) -> AppliedAdapter:
        """Take in pairs from `read` and count them, in any thread: nobody looks at them before a request."""
        self.adapters[digest] = pairs
        installed = self.installed(digest)
        return AppliedAdapter(digest, len(installed), sum(pair.parameter_count for pair in installed))

    def installed(self, digest: Digest) -> list[LoraPair]:
        """What is in place of an adapter: the proof of `install` and of `remove`."""
        return [pair for name, pair in self.adapters.get(digest, {}).items() if name in self._places]

    def remove(self, digest: Digest) -> None:
        """Forget an adapter; an unknown digest is a no-op."""
        if self.adapters.pop(digest, None) is not None:
            for seats in self._seats.values():
                seats.leave(digest)

    def seat(self, uses: Iterable[AdapterUse | None]) -> None:
        """Have all of these in the banks at once, for one step; only what is not there yet is copied."""
        by_width: dict[int, set[Digest]] = {}
        for digest, _ in filter(None, uses):
            by_width.setdefault(self._width(digest), set()).add(digest)
        for width, wanted in by_width.items():
            self._seat(width, wanted)

    def place(self, use: AdapterUse) -> Place:
        """Where a use of an adapter is that was seated."""
        digest, scale = use
        width = self._width(digest)
        return Place(width, self._seats[width][digest], scale)

    def activate(self, batch: Batch) -> None:
        """Say which rows of the next pass use which adapter; all of these are seated."""
        device = self.projections[0].device
        self._step.rows = plan_runs(self._placed(batch.groups), device=device)
        self._step.last_rows = plan_runs(self._placed(batch.last_groups), device=device)

    def _placed(self, groups: Iterable[RowGroup]) -> Iterator[PlacedRows]:
        return (PlacedRows(self.place(group.use), group.rows) for group in groups)

    def _width(self, digest: Digest) -> int:
        """A power of two, so that adapters of nearly one rank share a bank."""
        rank = max(pair.rank for pair in self.adapters[digest].values())
        return max(NARROWEST, 1 << (rank - 1).bit_length())

    def _seat(self, width: int, wanted: set[Digest]) -> None:
        seats = self._seats.setdefault(width, Seats())
        new = seats.take(wanted)
        for projection in self.projections if new else ():
            bank = projection.banks.setdefault(width, LoraBank(projection.parts, width))
            bank.resize(seats.count)
        for digest in new:
            by_projection: dict[Projection, dict[int, LoraPair]] = {
                projection: {} for projection in self.projections
            }
            for name, pair in self.adapters[digest].items():
                projection, index = self._places[name]
                by_projection[projection][index] = pair
            for projection, pairs in by_projection.items():
                projection.banks[width].write(seats[digest], pairs)

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
        a, b = (tensors[key] for key in _keys(module))
        b = b.float() * module.scaling  # before it is rounded, so that it is rounded once
        # Copies, since what was read is mapped from the file.
        a, b = (part.to(device=projection.device, dtype=projection.dtype, copy=True) for part in (a, b.t()))
        return LoraPair(a, b.contiguous())


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
