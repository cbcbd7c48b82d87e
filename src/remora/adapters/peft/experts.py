"""The experts of a mixture, one by one as a checkpoint and older trainings have them, and fused as now.

Owns which parts of a fused parameter stand for which layer of an expert. Knows names and shapes only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_EXPERT = re.compile(r"(?P<module>.+\.experts)\.(?P<number>\d+)\.(?P<layer>\w+)")
# By the layer's name: the fused parameter, its part of it, and how many parts that has.
_PARTS: Mapping[str, tuple[str, int, int]] = {
    "w1": ("gate_up_proj", 0, 2),
    "gate_proj": ("gate_up_proj", 0, 2),
    "w3": ("gate_up_proj", 1, 2),
    "up_proj": ("gate_up_proj", 1, 2),
    "w2": ("down_proj", 0, 1),
    "down_proj": ("down_proj", 0, 1),
}


@dataclass(frozen=True, slots=True)
class ExpertLayer:
    """One linear layer of one expert: rows of `parameter`, the `part`-th of `part_count` equal ones."""

    module: str
    number: int
    parameter: str
    part: int
    part_count: int


def is_expert(module: str) -> bool:
    """Whether this names a layer of one expert, whatever its name there."""
    return _EXPERT.fullmatch(module) is not None


def expert_layer(module: str) -> ExpertLayer | None:
    """What a module of one expert is in the fused model; None for all others."""
    match = _EXPERT.fullmatch(module)
    if match is None or match["layer"] not in _PARTS:
        return None
    return ExpertLayer(match["module"], int(match["number"]), *_PARTS[match["layer"]])


def with_fused_experts(parameters: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """The shapes of parameters with experts that lie one by one put together: (experts, out, in)."""
    fused: dict[str, tuple[int, ...]] = {}
    made: dict[str, tuple[int, ...]] = {}
    for name, shape in parameters.items():
        layer = expert_layer(name.removesuffix(".weight"))
        if layer is None or len(shape) != 2:
            made[name] = shape
            continue
        whole = f"{layer.module}.{layer.parameter}"
        count = max(layer.number + 1, fused.get(whole, (0,))[0])
        fused[whole] = (count, layer.part_count * shape[0], shape[1])
    return made | fused
