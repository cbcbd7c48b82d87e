"""Layers that are linear by another name, as torch's own. Owns which those are; computes nothing.

GPT-2's Conv1D keeps its matrix transposed, and Falcon has a class of its own. What comes after sees only
`nn.Linear`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers.models.falcon.modeling_falcon import FalconLinear
from transformers.pytorch_utils import Conv1D

LINEARS = (nn.Linear, FalconLinear, Conv1D)


def unify_linears(model: Any) -> None:
    """Put torch's linear layers in the place of those that compute the same."""
    for name, module in list(model.named_modules()):
        if isinstance(module, Conv1D):
            model.set_submodule(name, _linear(module.weight.detach().t().contiguous(), module.bias))
        elif isinstance(module, FalconLinear):
            model.set_submodule(name, _linear(module.weight, module.bias))


def _linear(weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Linear:
    outputs, inputs = weight.shape
    with torch.device("meta"):  # no memory for numbers that are replaced at once
        layer = nn.Linear(inputs, outputs, bias=bias is not None)
    layer.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias, requires_grad=False)
    return layer
