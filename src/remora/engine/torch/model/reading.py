"""How the tensors of a checkpoint become a model's: one after the other, each in the form that is served.

A plug-in for the loader of transformers, which knows the names, and the order in which families keep things.
Owns copying out of the file, quantising, and reading what was quantised; never holds two copies of a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers.core_model_loading import ConversionOps
from transformers.pytorch_utils import Conv1D
from transformers.quantizers import HfQuantizer, register_quantization_config, register_quantizer
from transformers.quantizers.base import get_keys_to_not_convert
from transformers.utils.quantization_config import QuantizationConfigMixin

from remora.adapters.peft import int4_entries, nf4_entries
from remora.engine.torch.cache.pages import forget_mapped
from remora.engine.torch.layers.int4 import read_int4
from remora.engine.torch.layers.linears import LINEARS
from remora.engine.torch.layers.nf4 import read_nf4
from remora.engine.torch.layers.quantized import QUANTIZING, QuantizedLinear
from remora.engine.torch.layers.weights import BadMatrix

METHOD = "remora"


def reading_as(quantize: str, *, layout: str | None) -> dict[str, object]:
    """For `quantization_config`: quantise to this while reading, or read codes that lie in this layout."""
    return {"quant_method": METHOD, "quantize": quantize, "layout": layout}


@register_quantization_config(METHOD)
class ReadingConfig(QuantizationConfigMixin):  # type: ignore[misc]
    def __init__(self, quantize: str, *, layout: str | None, **_: object) -> None:
        self.quant_method = METHOD
        self.quantize = quantize
        self.layout = layout


@register_quantizer(METHOD)
class Reading(HfQuantizer):  # type: ignore[misc]
    """What transformers asks while it loads; `problems` is what could not be read, by the tensor's name."""

    requires_calibration = False

    def __init__(self, quantization_config: ReadingConfig, **kwargs: Any) -> None:
        super().__init__(quantization_config, **kwargs)
        self.problems: dict[str, str] = {}

    @property
    def quantizes(self) -> bool:
        return self.quantization_config.quantize in QUANTIZING and not self.quantization_config.layout

    @property
    def serialized_names(self) -> dict[str, list[str]]:
        """What one `weight` can be in the file; a plain model may have a parameter called `scales`."""
        nf4 = [f"weight.{part}" for part in nf4_entries.PARTS]
        int4 = int4_entries.PARTS if self.quantization_config.layout else ()
        return {"weight": ["weight", *nf4, *int4]}

    def _process_model_before_weight_loading(self, model: Any, **_: object) -> None:
        if not (self.quantizes or self.quantization_config.layout):
            return
        whole = set(get_keys_to_not_convert(model))
        for name, module in list(model.named_modules()):
            if name in whole or type(module) not in LINEARS:
                continue
            shape = module.weight.shape
            inputs, outputs = shape if isinstance(module, Conv1D) else shape[::-1]
            with torch.device("meta"):
                layer = QuantizedLinear(
                    inputs, outputs, bias=module.bias is not None, dtype=module.weight.dtype
                )
            layer.is_transposed = isinstance(module, Conv1D)
            model.set_submodule(name, layer)

    def _process_model_after_weight_loading(self, model: Any, **_: object) -> Any:
        for module in model.modules():
            if isinstance(module, QuantizedLinear) and not hasattr(module, "kept"):
                module.__class__ = nn.Linear  # type: ignore[assignment]  # left in 16 bits by the checkpoint
        return model

    def param_needs_quantization(self, model: Any, param_name: str, **_more: object) -> bool:
        owner, _, last = param_name.rpartition(".")
        return last == "weight" and isinstance(model.get_submodule(owner), QuantizedLinear)

    def get_load_operations(self) -> dict[str, type[ConversionOps]]:
        return {"deserialize": TakeWeight}

    def is_serializable(self) -> bool:
        return False

    @property
    def is_trainable(self) -> bool:
        return False


class TakeWeight(ConversionOps):  # type: ignore[misc]
    """All tensors of one `weight`, as they lie in the file, to what stands in the model."""

    def __init__(self, hf_quantizer: Reading) -> None:
        self.hf_quantizer = hf_quantizer

    def __deepcopy__(self, _memo: object) -> TakeWeight:
        """The loader copies it for each tensor, and all of them keep one book."""
        return TakeWeight(self.hf_quantizer)

    def convert(
        self, input_dict: dict[str, Any], *, model: Any, full_layer_name: str, **_: object
    ) -> dict[str, nn.Parameter]:
        tensors = {
            name.removeprefix("weight").removeprefix("."): each[0] if isinstance(each, list) else each
            for name, each in input_dict.items()
        }
        module = model.get_submodule(full_layer_name.rpartition(".")[0])
        place = model.get_parameter_or_buffer(full_layer_name)
        dtype = place.dtype
        try:
            taken = self._taken(module, tensors, dtype)
        except BadMatrix as error:
            self.hf_quantizer.problems[full_layer_name] = str(error)
            # Of the size that is expected: the loader would complain of another before the problem is told.
            taken = nn.Parameter(torch.empty(place.shape, dtype=dtype), requires_grad=False)
        taken.is_own = True  # type: ignore[attr-defined]
        for each in tensors.values():
            forget_mapped(each)
        return {full_layer_name: taken}

    def _taken(
        self, module: nn.Module, tensors: Mapping[str, torch.Tensor], dtype: torch.dtype
    ) -> nn.Parameter:
        if int4_entries.WORDS in tensors or tensors[""].dtype == torch.uint8:
            return self._taken_codes(module, tensors, dtype)
        weight = tensors[""]
        if isinstance(module, QuantizedLinear):
            weight = weight.t().contiguous() if module.is_transposed else weight
            if weight.shape != (module.out_features, module.in_features):
                raise BadMatrix(f"shape {tuple(weight.shape)}")
        if not (isinstance(module, QuantizedLinear) and self.hf_quantizer.quantizes):
            return nn.Parameter(weight.to(dtype, copy=True), requires_grad=False)
        kept = QUANTIZING[self.hf_quantizer.quantization_config.quantize](weight, dtype)
        if not bool(kept.scales.isfinite().all()):
            raise BadMatrix("NaN or infinite numbers")
        return module.keep(kept, dtype)

    def _taken_codes(
        self, module: nn.Module, tensors: Mapping[str, torch.Tensor], dtype: torch.dtype
    ) -> nn.Parameter:
        if not isinstance(module, QuantizedLinear):
            raise BadMatrix(f"codes for {type(module).__name__}, which is served in 16 bits")
        shape = (module.out_features, module.in_features)
        if int4_entries.WORDS in tensors:
            layout = self.hf_quantizer.quantization_config.layout
            return module.keep(read_int4(tensors, layout, shape), dtype)
        return module.keep(read_nf4(tensors, shape), dtype)
