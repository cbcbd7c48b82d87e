"""Linear layers that read the same input, multiplied as one. Owns which belong together and who answers.

Models of transformers call q_proj, k_proj and v_proj one after the other with the very same tensor, and so
gate_proj and up_proj. The first call computes all of them; the others are handed their columns. Whoever comes
with another tensor gets a pass of its own, so nothing rests on the order of calls but speed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import nn

from remora.engine.torch.lora_bank import LoraBank
from remora.engine.torch.lora_runs import Run
from remora.engine.torch.weights import PlainWeights, keep_weights

SIBLINGS = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))


class LoraStep:
    """Which rows of the running pass use which adapters; set before each pass."""

    def __init__(self) -> None:
        self.rows: tuple[Run, ...] = ()
        self.last_rows: tuple[Run, ...] = ()  # of those rows whose logits are wanted


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
        self.weights = keep_weights(
            _joined_weight(layers),
            _joined_bias(layers),
            quantize=quantize,
            is_head=sees_last_rows,
            streams=streams,
        )
        self._step = step
        self._sees_last_rows = sees_last_rows  # the head computes only the rows whose logits are wanted
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
        for run in self._step.last_rows if self._sees_last_rows else self._step.rows:
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
        self._projection = projection
        self._index = index

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._projection.part(self._index, x)


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
        if is_tied and head in linears.values() and isinstance(projection.weights, PlainWeights):
            model.get_input_embeddings().weight.data = projection.weights.weight  # the same memory again
    return projections


def _groups(model: nn.Module) -> Iterator[tuple[str, ...]]:
    """The full names of linear layers that are multiplied together: siblings, or one alone."""
    for parent_name, parent in model.named_modules():
        linears = {name: child for name, child in parent.named_children() if type(child) is nn.Linear}
        prefix = f"{parent_name}." if parent_name else ""
        for siblings in SIBLINGS:
            if len({linears[name].in_features if name in linears else None for name in siblings}) == 1:
                together = [name for name in siblings if linears.pop(name, None) is not None]
                if together:
                    yield tuple(prefix + name for name in together)
        for name in linears:
            yield (prefix + name,)


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
