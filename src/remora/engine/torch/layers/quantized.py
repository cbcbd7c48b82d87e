"""Linear layers whose matrix is quantised while it is read. Owns their place in a model till it is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

from remora.engine.torch.layers.int4 import Int4Weights
from remora.engine.torch.layers.nf4 import Nf4Weights
from remora.engine.torch.layers.weights import Int8Weights

FewBits = Int8Weights | Int4Weights | Nf4Weights
Quantizing = Callable[[torch.Tensor, torch.dtype], FewBits]
QUANTIZING: Mapping[str, Quantizing] = {  # a matrix as it was trained, and the precision that it is served in
    "int8": lambda weight, dtype: Int8Weights(weight.to(dtype), None),
    "int4": lambda weight, _dtype: Int4Weights.of(weight),
    "nf4": lambda weight, _dtype: Nf4Weights.of(weight),
}


class QuantizedLinear(nn.Linear):
    """Multiplies by its matrix in full, dequantised. `weight` is empty once `kept` is there."""

    kept: FewBits
    is_transposed: bool = False  # as the checkpoint has it

    def keep(self, kept: FewBits, dtype: torch.dtype) -> nn.Parameter:
        """What stands for the weight from here on: its type of numbers."""
        self.kept = kept
        self.weight = nn.Parameter(torch.empty(0, dtype=dtype), requires_grad=False)
        return self.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = self.kept.multiply(x.reshape(-1, self.in_features))
        return (made if self.bias is None else made + self.bias).view(*x.shape[:-1], self.out_features)


def is_linear(module: nn.Module) -> bool:
    return type(module) in (nn.Linear, QuantizedLinear)


def matrix_of(layer: nn.Linear) -> torch.Tensor:
    return layer.kept.matrix() if isinstance(layer, QuantizedLinear) else layer.weight.detach()


def quantize_layers(model: nn.Module, quantize: str) -> None:
    """Quantise the linear layers of a model that is in memory, all but its head, as reading does."""
    head = model.get_output_embeddings()  # type: ignore[operator]
    for name, module in list(model.named_modules()):
        if type(module) is nn.Linear and module is not head:
            with torch.device("meta"):
                layer = QuantizedLinear(module.in_features, module.out_features, bias=False)
            layer.bias = module.bias
            dtype = module.weight.dtype
            layer.keep(QUANTIZING[quantize](module.weight.detach(), dtype), dtype)
            model.set_submodule(name, layer)
