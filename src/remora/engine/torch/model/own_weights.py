"""Weights of the base model in whose place an adapter has its own. Owns putting them there, for one pass.

Norms, routers, layers that were trained whole, experts with updates: such an adapter has a pass of the model
for its rows alone, by modules. Nothing of others is in it, so it is right for whatever the module computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from remora.engine.torch.layers.projection import LoraStep, Projection
from remora.engine.torch.lora.experts import AdaptedExperts


@dataclass(frozen=True, slots=True)
class OwnParameter:
    """What stands for a module's parameter of this name."""

    module: nn.Module
    name: str
    value: torch.Tensor | AdaptedExperts


@dataclass(frozen=True, slots=True, eq=False)
class OwnWeights:
    """All of one adapter; `layers` are linear layers, by projection and part."""

    layers: Mapping[Projection, Mapping[int, nn.Linear]]
    parameters: Sequence[OwnParameter]

    @property
    def parameter_count(self) -> int:
        layers = (layer for parts in self.layers.values() for layer in parts.values())
        count = sum(parameter.numel() for layer in layers for parameter in layer.parameters())
        for own in self.parameters:
            value = own.value
            count += value.numel() if isinstance(value, torch.Tensor) else value.parameter_count
        return count

    @contextmanager
    def in_place(self, step: LoraStep) -> Iterator[None]:
        """While it lasts, the model computes with them."""
        step.replaced = self.layers
        # An attribute of the object itself is found before the module's parameter of that name.
        shadowed: list[tuple[dict[str, Any], str, object]]
        shadowed = [(own.module.__dict__, own.name, own.value) for own in self.parameters]
        shadowed += [
            (own.module.__dict__, "forward", _one_by_one(own.module))
            for own in self.parameters
            if isinstance(own.value, AdaptedExperts)
        ]
        try:
            for attributes, name, value in shadowed:
                attributes[name] = value
            yield
        finally:
            step.replaced = {}
            for attributes, name, _ in shadowed:
                attributes.pop(name, None)


def _one_by_one(experts: nn.Module) -> object:
    """The forward pass that takes one expert after the other, behind that which may take all at once."""
    forward = type(experts).forward
    return getattr(forward, "__wrapped__", forward).__get__(experts)
