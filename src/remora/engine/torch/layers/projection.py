"""Linear layers that read the same input, multiplied as one. Owns which belong together and who answers.

Models of transformers call q_proj, k_proj and v_proj one after the other with the very same tensor, and so
gate_proj and up_proj. The first call computes all of them; the others get their columns. A call with another
tensor gets a pass of its own, so the order of calls matters for speed alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import nn

from remora.engine.torch.cache.pages import give_back_free_memory
from remora.engine.torch.layers.int4 import Int4Weights
from remora.engine.torch.layers.nf4 import Nf4Weights
from remora.engine.torch.layers.quantized import FewBits, QuantizedLinear, is_linear
from remora.engine.torch.layers.weights import KeptWeights, PlainWeights, keep_weights, streamed
from remora.engine.torch.lora.bank import LoraBank
from remora.engine.torch.lora.runs import Run

SIBLINGS = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))


class LoraStep:
    """Which rows of the running pass use which adapters; set before each pass."""

    def __init__(self) -> None:
        self.rows: tuple[Run, ...] = ()
        self.last_rows: tuple[Run, ...] = ()  # of those rows whose logits are wanted
        self.columns: tuple[RowColumns, ...] = ()
        self.last_columns: tuple[RowColumns, ...] = ()
        self.replaced: Mapping[Projection, Mapping[int, nn.Linear]] = {}  # for all rows of the pass


@dataclass(frozen=True, slots=True)
class RowColumns:
    """What the adapter of some rows does to what layers make themselves: by projection and part."""

    rows: slice
    of: Mapping[Projection, Mapping[int, torch.Tensor]]


class Projection:
    """One multiplication for one or several linear layers, and what adapters add to it."""

    def __init__(
        self,
        linears: Mapping[str, nn.Linear],
        step: LoraStep,
        *,
        sees_last_rows: bool,
        quantize: str,
        streams: bool,
    ) -> None:
        layers = list(linears.values())
        ends = [0, *accumulate(layer.out_features for layer in layers)]
        self.names = tuple(linears)
        self.in_features = layers[0].in_features
        self.parts = tuple(slice(first, stop) for first, stop in pairwise(ends))
        self.dtype, self.device = layers[0].weight.dtype, layers[0].weight.device
        self.banks: dict[int, LoraBank] = {}  # by width
        self.weights = _quantized(layers, streams=streams) or keep_weights(
            _joined_weight(layers),
            _joined_bias(layers),
            quantize=quantize,
            is_head=sees_last_rows,
            streams=streams,
        )
        self._step = step
        self.sees_last_rows = sees_last_rows  # the head computes only the rows whose logits are wanted
        self._input: torch.Tensor | None = None
        self._output = torch.empty(0)

    def part(self, index: int, x: torch.Tensor) -> torch.Tensor:
        """What the layer of this index makes of x (..., in)."""
        if self._input is not x:
            self._input, self._output = x, self._multiply(x)
        answer = self._output[..., self.parts[index]]
        if index == len(self.parts) - 1:
            self._input, self._output = None, torch.empty(0)
        return answer

    def _multiply(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.reshape(-1, self.in_features)
        if not len(rows):  # no request of this step is far enough for a token
            return x.new_empty((*x.shape[:-1], self.parts[-1].stop))
        out = self.weights.multiply(rows)
        for index, layer in self._step.replaced.get(self, {}).items():
            out[:, self.parts[index]] = layer(rows)
        step, is_last = self._step, self.sees_last_rows
        for group in step.last_columns if is_last else step.columns:
            for index, (gain, offset) in group.of.get(self, {}).items():
                out[group.rows, self.parts[index]].mul_(gain).add_(offset)
        for run in step.last_rows if is_last else step.rows:
            self.banks[run.width].add(run, rows, out)
        return out.view(*x.shape[:-1], -1)


class ProjectionPart(nn.Module):
    """Stands in the model where a linear layer stood."""

    def __init__(self, projection: Projection, index: int) -> None:
        super().__init__()
        part = projection.parts[index]
        self.in_features = projection.in_features
        self.out_features = part.stop - part.start
        # Models look at the dtype and the device of a projection's weight; the numbers are elsewhere.
        self.weight = torch.empty(0, dtype=projection.dtype, device=projection.device)
        self.projection = projection
        self._index = index

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.projection.part(self._index, x)


def replace_linears(
    model: Any, step: LoraStep, *, quantize: str = "none", streams: bool = False
) -> list[Projection]:
    """Put projections in the place of all linear layers of a model, whose own weights go."""
    head = model.get_output_embeddings()
    is_tied = head is not None and head.weight is model.get_input_embeddings().weight
    projections = []
    for names in list(_groups(model)):
        linears = {name: model.get_submodule(name) for name in names}
        projection = Projection(
            linears, step, sees_last_rows=head in linears.values(), quantize=quantize, streams=streams
        )
        for index, name in enumerate(names):
            model.set_submodule(name, ProjectionPart(projection, index))
        projections.append(projection)
        give_back_free_memory()  # that of the originals of the layers before
        if is_tied and head in linears.values() and isinstance(projection.weights, PlainWeights):
            model.get_input_embeddings().weight.data = projection.weights.weight  # the same memory again
    return projections


def _groups(model: nn.Module) -> Iterator[tuple[str, ...]]:
    """The full names of linear layers that are multiplied together: siblings, or one alone."""
    for parent_name, parent in model.named_modules():
        linears = {name: child for name, child in parent.named_children() if is_linear(child)}
        prefix = f"{parent_name}." if parent_name else ""
        for siblings in SIBLINGS:
            if len({_joins_with(linears.get(name)) for name in siblings}) == 1:
                together = [name for name in siblings if linears.pop(name, None) is not None]
                if together:
                    yield tuple(prefix + name for name in together)
        for name in linears:
            yield (prefix + name,)


def _joins_with(layer: nn.Linear | None) -> object:
    """Layers for which this is the same can be multiplied as one."""
    if not isinstance(layer, QuantizedLinear):
        return layer and (layer.in_features, None)
    if isinstance(layer.kept, Int4Weights):
        return layer if layer.kept.order is not None else (layer.in_features, layer.kept.group)
    alone = isinstance(layer.kept, Nf4Weights) and not layer.kept.has_whole_blocks
    return layer if alone else (layer.in_features, type(layer.kept))


def _quantized(layers: list[nn.Linear], *, streams: bool) -> KeptWeights | None:
    """The weights of layers that were quantised when they were read."""
    kept = [layer.kept for layer in layers if isinstance(layer, QuantizedLinear)]
    if not kept:
        return None
    form: Any = type(kept[0])  # the same of all
    made: FewBits = form.joined(kept, _joined_bias(layers))
    return streamed(made) if streams else made


def _joined_weight(layers: list[nn.Linear]) -> torch.Tensor:
    if len(layers) == 1:
        return layers[0].weight.detach()
    return torch.cat([layer.weight.detach() for layer in layers])


def _joined_bias(layers: list[nn.Linear]) -> torch.Tensor | None:
    if all(layer.bias is None for layer in layers):
        return None
    return torch.cat(
        [
            layer.weight.new_zeros(layer.out_features) if layer.bias is None else layer.bias.detach()
            for layer in layers
        ]
    )
