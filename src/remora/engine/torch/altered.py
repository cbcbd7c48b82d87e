"""Adapters that are to answer otherwise than they were trained: at a scale, or without one layer's update.

Owns what is refused, and why; applies nothing.
"""

from __future__ import annotations

from remora.engine.base import GenerationRequest, check_has_update
from remora.engine.torch.model.model import SlotModel
from remora.errors import InvalidInput, UnsupportedParameter, listed


def check_altered(request: GenerationRequest, model: SlotModel) -> None:
    """Raises UnsupportedParameter for an adapter of more than pairs, InvalidInput for a layer without any."""
    check_has_update(request)
    _check_pairs(request, model)
    layer = request.adapter_without_layer
    if request.adapter is None or layer is None:
        return
    layers = model.lora.layers(request.adapter)
    if layer not in layers:
        raise InvalidInput(
            f"the adapter has no update in layer {layer}; those with one: {listed(layers) or 'none'}",
            hint="name one of them, or leave adapter_without_layer out",
            param="adapter_without_layer",
        )


def _check_pairs(request: GenerationRequest, model: SlotModel) -> None:
    asked = {
        "adapter_scale": request.adapter_scale != 1,
        "adapter_without_layer": request.adapter_without_layer is not None,
    }
    name = next((name for name, altered in asked.items() if altered), None)
    if name is not None and not model.is_only_pairs(request.adapter):
        raise UnsupportedParameter(
            "an adapter with more than pairs of matrices (DoRA, biases, modules or rows for tokens of its"
            " own) is applied as it was trained, at no other scale and in all layers",
            hint=f"leave {name} out",
            param=name,
        )
