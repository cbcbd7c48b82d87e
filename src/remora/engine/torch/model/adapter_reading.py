"""From an adapter's folder to weights that a model computes with. Owns what is read and how it must fit.

Changes nothing of the model. Rows of tokens are read by `lora/token_rows.py`, and so is the embedding's pair.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from remora.adapters.adapter import Adapter, LoraModule
from remora.adapters.peft.base_shape import ROUTERS, is_transposed
from remora.adapters.peft.experts import ExpertLayer, expert_layer
from remora.adapters.peft.lora_tensors import WEIGHTS_FILE
from remora.adapters.peft.weight_numbers import LIMIT
from remora.engine.torch.layers.projection import Projection
from remora.engine.torch.lora.bank import LoraPair
from remora.engine.torch.lora.columns import Trained, columns_of
from remora.engine.torch.lora.experts import AdaptedExperts, ExpertUpdate, fused_updates
from remora.engine.torch.model.own_weights import OwnParameter, OwnWeights
from remora.errors import AdapterRejected, listed

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class AdapterWeights:
    """Pairs by the names of linear layers, and weights of the base's that are replaced; None without any."""

    pairs: dict[str, LoraPair]
    own: OwnWeights | None
    module_count: int


@dataclass(slots=True)
class _Made:
    """What is put together while the modules are gone through."""

    pairs: dict[str, LoraPair] = field(default_factory=dict)
    layers: dict[Projection, dict[int, nn.Linear]] = field(default_factory=dict)
    values: dict[tuple[str, str], torch.Tensor] = field(default_factory=dict)
    experts: dict[tuple[str, str], dict[int, list[ExpertUpdate]]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


class AdapterReader:
    """Reads adapters for one model whose linear layers are in `places`: projection and part by name."""

    def __init__(self, model: Any, places: Mapping[str, tuple[Projection, int]]) -> None:
        self._model = model
        self._places = places
        self._dtype, self._device = model.dtype, model.device

    @torch.inference_mode()
    def read(self, adapter: Adapter) -> AdapterWeights:
        """Raises AdapterRejected with all that does not fit."""
        tensors = _read_tensors(adapter)
        made = _Made()
        expected = {key for module in adapter.modules for key in module.all_tensors}
        expected |= set(adapter.own_parameters.values())
        made.problems += [f"{key} is missing" for key in sorted(expected - tensors.keys())]
        made.problems += [f"{key} belongs to no adapted module" for key in sorted(tensors.keys() - expected)]
        made.problems += [
            f"{key} holds values that are not finite, or beyond {LIMIT:g}"
            for key, tensor in tensors.items()
            if tensor.numel() and not bool(tensor.abs().max() < LIMIT)
        ]
        if not adapter.modules and not adapter.own_parameters:
            made.problems.append("it adapts no module")
        _refuse(adapter, made.problems)
        own = dict(adapter.own_parameters)
        self._take_layers(made, own, tensors)
        for module in adapter.modules:
            self._take_module(made, module, tensors, own, adapter)
        self._take_rest(made, own, tensors)
        _refuse(adapter, made.problems)
        parameters = [*self._parameters(made)]
        weights = OwnWeights(made.layers, parameters) if made.layers or parameters else None
        return AdapterWeights(made.pairs, weights, len(adapter.modules))

    def _take_layers(self, made: _Made, own: dict[str, str], tensors: Tensors) -> None:
        """Linear layers that were trained whole, with their own bias or the base's."""
        for name in [name for name in own if name.endswith(".weight")]:
            layer = name.removesuffix(".weight")
            if layer not in self._places:
                continue
            projection, index = self._places[layer]
            weight, bias = tensors[own.pop(name)], self._bias(projection, index)
            if is_transposed(self._model.config.model_type, layer):
                weight = weight.t()
            if f"{layer}.bias" in own:
                bias = tensors[own.pop(f"{layer}.bias")]
            if weight.shape != (_size(projection, index), projection.in_features):
                made.problems.append(f"{name} has shape {tuple(weight.shape)}")
                continue
            whole = nn.Linear(1, 1, bias=bias is not None)
            whole.weight = nn.Parameter(self._kept(weight), requires_grad=False)
            if bias is not None:
                whole.bias = nn.Parameter(self._kept(bias), requires_grad=False)
            made.layers.setdefault(projection, {})[index] = whole

    def _take_module(
        self, made: _Made, module: LoraModule, tensors: Tensors, own: dict[str, str], adapter: Adapter
    ) -> None:
        if module.name in self._places and module.parameter in ("", "weight"):
            bias = own.pop(f"{module.name}.bias", "")
            resized = adapter.token_rows is not None
            self._take_linear(made, module, tensors, tensors.get(bias), resized=resized)
        elif layer := expert_layer(module.name):
            self._take_expert(made, layer, module, tensors)
        elif self._module(module.name) is not self._model.get_input_embeddings():
            self._take_parameter(made, module, tensors)

    def _take_linear(
        self,
        made: _Made,
        module: LoraModule,
        tensors: Tensors,
        bias: torch.Tensor | None,
        *,
        resized: bool,
    ) -> None:
        projection, index = self._places[module.name]
        a, b = _halves(module, tensors)
        out = _size(projection, index)
        if resized and projection.sees_last_rows:  # the rows of other tokens are read with the tokens
            b = nn.functional.pad(b, (0, 0, 0, max(0, out - len(b))))[:out]
        shapes = (module.rank, projection.in_features), (out, module.rank)
        problems = [
            f"{key} has shape {tuple(half.shape)} where the base model needs {shape}"
            for key, half, shape in zip(module.tensors, (a, b), shapes, strict=True)
            if tuple(half.shape) != shape
        ]
        if problems:
            made.problems += problems
            return
        trained = Trained(
            a, b, tensors.get(module.magnitude), bias, _scaled(tensors.get(module.bias), module)
        )
        columns = columns_of(
            trained,
            projection.weights.matrix()[projection.parts[index]] if module.magnitude else None,
            self._bias(projection, index),
        )
        if columns is not None:
            b = b * columns[0][:, None]
            columns = columns.to(self._device)
        made.pairs[module.name] = LoraPair(self._kept(a), self._kept(b.t()).contiguous(), columns)

    def _take_expert(self, made: _Made, layer: ExpertLayer, module: LoraModule, tensors: Tensors) -> None:
        """One layer of one expert, as they were before experts were fused."""
        base = self._parameter(layer.module, layer.parameter)
        a, b = _halves(module, tensors)
        rows = len(b) * layer.part_count
        if base is None or base.ndim != 3 or layer.number >= len(base) or module.magnitude:
            made.problems.append(f"{module.name} is no expert of the base model that can be adapted so")
        elif self._is_transposed(layer.module) or base.shape[1:] != (rows, a.shape[1]):
            made.problems.append(f"{module.name} is {tuple(base.shape[1:])} in the base model")
        else:
            part = slice(layer.part * len(b), (layer.part + 1) * len(b))
            update = ExpertUpdate(part, self._kept(a), self._kept(b))
            experts = made.experts.setdefault((layer.module, layer.parameter), {})
            experts.setdefault(layer.number, []).append(update)

    def _take_parameter(self, made: _Made, module: LoraModule, tensors: Tensors) -> None:
        """A parameter that is no linear layer's: the experts of a mixture, or a single matrix."""
        name = module.parameter or "weight"
        base = self._parameter(module.name, name)
        a, b = _halves(module, tensors)
        known = bool(module.parameter) or module.name.rpartition(".")[2] in ROUTERS
        if base is None or not known or module.magnitude or module.bias or base.ndim not in (2, 3):
            made.problems.append(f"{module.name} is no linear layer of the base model")
            return
        update = (len(b), a.shape[1])
        size = tuple(base.shape[-2:])
        if base.ndim == 3 and self._is_transposed(module.name):
            size = size[::-1]
        if size != update or len(a) != module.rank * (len(base) if base.ndim == 3 else 1):
            made.problems.append(f"{module.name}.{name} is {tuple(base.shape)}, and the adapter's {update}")
        elif base.ndim == 2:
            made.values[module.name, name] = (base.float().cpu() + b @ a).to(base)
        else:
            made.experts[module.name, name] = fused_updates(self._kept(a), self._kept(b), module.rank)

    def _take_rest(self, made: _Made, own: Mapping[str, str], tensors: Tensors) -> None:
        """Biases of layers without a pair, norms, and what else was trained whole; copies are left out."""
        for name, key in own.items():
            owner, _, last = name.rpartition(".")
            if owner in self._places and last == "bias":
                projection, index = self._places[owner]
                empty = torch.empty(0, projection.in_features), torch.empty(_size(projection, index), 0)
                trained = Trained(*empty, bias=tensors[key])
                columns = columns_of(trained, None, self._bias(projection, index))
                if columns is not None:
                    a, b = map(self._kept, empty)
                    made.pairs[owner] = LoraPair(a, b.t(), columns.to(self._device))
                continue
            base = self._parameter(owner, last)
            if base is None or base.shape != tensors[key].shape:
                made.problems.append(f"{key} is no parameter of the base model")
            elif not torch.equal(value := tensors[key].to(base), base):
                made.values[owner, last] = value.clone()

    def _parameters(self, made: _Made) -> Iterator[OwnParameter]:
        for (owner, name), value in made.values.items():
            yield OwnParameter(self._model.get_submodule(owner), name, value)
        for (owner, name), updates in made.experts.items():
            module = self._model.get_submodule(owner)
            experts = AdaptedExperts(getattr(module, name), updates, transposed=self._is_transposed(owner))
            yield OwnParameter(module, name, experts)

    def _module(self, name: str) -> nn.Module | None:
        try:
            found: nn.Module = self._model.get_submodule(name)
        except AttributeError:
            return None
        return found

    def _parameter(self, owner: str, name: str) -> torch.Tensor | None:
        found = getattr(self._module(owner), name, None)
        return found.detach() if isinstance(found, nn.Parameter) else None

    def _is_transposed(self, owner: str) -> bool:
        return bool(getattr(self._module(owner), "is_transposed", False))

    def _bias(self, projection: Projection, index: int) -> torch.Tensor | None:
        bias = projection.weights.bias
        return None if bias is None else bias[projection.parts[index]]

    def _kept(self, tensor: torch.Tensor) -> torch.Tensor:
        """A copy, since what was read is mapped from the file."""
        return tensor.to(device=self._device, dtype=self._dtype, copy=True)


def _halves(module: LoraModule, tensors: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
    """A and B in float32; B with the scaling, before it is rounded, so that it is rounded once."""
    a, b = (tensors[key].float() for key in module.tensors)
    if module.singular:
        a = a * tensors[module.singular].float()
    return a, b * module.scaling


def _scaled(bias: torch.Tensor | None, module: LoraModule) -> torch.Tensor | None:
    return None if bias is None else bias.float() * module.scaling


def _size(projection: Projection, index: int) -> int:
    part = projection.parts[index]
    return int(part.stop - part.start)


def _read_tensors(adapter: Adapter) -> dict[str, torch.Tensor]:
    """All but matrices of tokens, and what AdaLoRA left nothing of."""
    try:
        with safe_open(adapter.path / WEIGHTS_FILE, "pt") as file:
            names = [name for name in file.keys() if name not in adapter.base_copies]  # noqa: SIM118
            tensors: dict[str, torch.Tensor] = {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError) as error:
        raise _rejected(adapter, [f"{WEIGHTS_FILE} cannot be read: {error}"]) from error
    return {name: tensor for name, tensor in tensors.items() if tensor.numel()}


def _refuse(adapter: Adapter, problems: list[str]) -> None:
    if problems:
        raise _rejected(adapter, problems)


def _rejected(adapter: Adapter, problems: list[str]) -> AdapterRejected:
    shown = listed(problems, separator="; ")
    return AdapterRejected(
        f"adapter {adapter.name!r} does not fit the base model: {shown}",
        hint="train the adapter on this base model, or serve it with the one it was trained on",
    )
