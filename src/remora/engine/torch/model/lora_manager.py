"""Low-rank updates on the base model's linear layers. Owns the adapters' weights and which rows use which.

y = W x + scale · scaling · B A x, for each row with its own adapter, at the scale its request asks for. Work
grows with the adapters in the batch, not with those that are loaded (see `lora/bank.py`).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace

import torch
from torch import nn

from remora.adapters.adapter import Adapter, AppliedAdapter, Digest
from remora.adapters.peft.update_norms import layer_of
from remora.engine.torch.layers.projection import LoraStep, Projection, RowColumns, replace_linears
from remora.engine.torch.lora.bank import LoraBank, LoraPair
from remora.engine.torch.lora.runs import Place, PlacedRows, plan_runs
from remora.engine.torch.lora.seats import Seats
from remora.engine.torch.model.adapter_reading import AdapterReader, AdapterWeights
from remora.engine.torch.model.own_weights import OwnWeights
from remora.engine.torch.native.layers import in_one_place
from remora.engine.torch.scheduling.batch import Batch, RowGroup
from remora.engine.torch.scheduling.sequence import AdapterUse, name_without

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
        self._reader = AdapterReader(model, self._places)
        self.adapters: dict[Digest, Mapping[str, LoraPair]] = {}
        self._columns: dict[Digest, Mapping[Projection, Mapping[int, torch.Tensor]]] = {}
        self._own: dict[Digest, OwnWeights] = {}
        self._parts: dict[Digest, list[Digest]] = {}  # what `leave_out` made of each
        self._seats: dict[int, Seats] = {}  # by width

    def read(self, adapter: Adapter) -> AdapterWeights:
        """The adapter's weights, checked against the model; changes nothing.

        Raises AdapterRejected with all that does not fit.
        """
        weights = self._reader.read(adapter)
        if self.library is None or weights.own is not None:  # which native code does not compute with
            return weights
        return replace(weights, pairs=in_one_place(weights.pairs))

    def install(self, digest: Digest, weights: AdapterWeights) -> AppliedAdapter:
        """Take in what `read` gave and count it, in any thread: nobody looks at it before a request."""
        self.adapters[digest] = weights.pairs
        columns: dict[Projection, dict[int, torch.Tensor]] = {}
        for name, pair in weights.pairs.items():
            if pair.columns is not None:
                projection, index = self._places[name]
                columns.setdefault(projection, {})[index] = pair.columns
        if columns:
            self._columns[digest] = columns
        parameters = sum(pair.parameter_count for pair in self.installed(digest))
        if weights.own is not None:
            self._own[digest] = weights.own
            parameters += weights.own.parameter_count
        return AppliedAdapter(digest, weights.module_count, parameters)

    def installed(self, digest: Digest) -> list[LoraPair]:
        """What is in place of an adapter: the proof of `install` and of `remove`."""
        return [pair for name, pair in self.adapters.get(digest, {}).items() if name in self._places]

    def has_own(self, digest: Digest | None) -> bool:
        """Whether an adapter has weights in place of the base's, and so a pass of its own."""
        return digest in self._own

    def is_only_pairs(self, digest: Digest | None) -> bool:
        """Whether the adapter can be added at any scale, and without some of its pairs."""
        return digest not in self._own and digest not in self._columns

    def layers(self, digest: Digest) -> list[int]:
        """Those in which an installed adapter has an update."""
        found = {layer_of(name) for name in self.adapters.get(digest, {})}
        return sorted(layer for layer in found if layer is not None)

    def leave_out(self, digest: Digest, layer: int) -> None:
        """Have an installed adapter of only pairs also without those of a layer, until it is removed.

        The tensors are shared. There are at most as many of these as the adapter has layers.
        """
        name = name_without(digest, layer)
        if name not in self.adapters:
            pairs = self.adapters[digest]
            self.adapters[name] = {each: pair for each, pair in pairs.items() if layer_of(each) != layer}
            self._parts.setdefault(digest, []).append(name)

    def own_in_place(self, digest: Digest) -> AbstractContextManager[None]:
        """While it lasts, the model's modules compute with the weights that this adapter has of its own."""
        return self._own[digest].in_place(self._step)

    def remove(self, digest: Digest) -> list[Digest]:
        """Forget an adapter and its parts, and return what they went by; an unknown digest is a no-op."""
        self._own.pop(digest, None)
        self._columns.pop(digest, None)
        gone = [digest, *self._parts.pop(digest, ())]
        for name in gone:
            if self.adapters.pop(name, None) is not None:
                for seats in self._seats.values():
                    seats.leave(name)
        return gone

    def forget_seats(self) -> None:
        """Release the banks. An installed adapter gets a new seat at its next use."""
        self._seats.clear()
        for projection in self.projections:
            projection.banks.clear()

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
        self._step.columns = tuple(self._row_columns(batch.groups))
        self._step.last_columns = tuple(self._row_columns(batch.last_groups))

    def _placed(self, groups: Iterable[RowGroup]) -> Iterator[PlacedRows]:
        return (PlacedRows(self.place(group.use), group.rows) for group in groups)

    def _row_columns(self, groups: Iterable[RowGroup]) -> Iterator[RowColumns]:
        for group in groups:
            if group.use[0] in self._columns:
                yield RowColumns(group.rows, self._columns[group.use[0]])

    def _width(self, digest: Digest) -> int:
        """A power of two, so that adapters of nearly one rank share a bank."""
        rank = max((pair.rank for pair in self.adapters[digest].values()), default=0)
        return max(NARROWEST, 1 << max(0, rank - 1).bit_length())

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
