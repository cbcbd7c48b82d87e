"""What the settings say of an adapter's tensors beyond plain pairs, and what is there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tests.adapters.conftest import MakeFolder

from remora.adapters.peft.inspect import inspect_adapter, read_base
from remora.errors import AdapterRejected

WEIGHTS = "adapter_model.safetensors"
Q_PROJ = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.mark.parametrize(
    ("config", "more", "named"),
    [
        ({"use_dora": True}, {}, "q_proj has no lora_magnitude_vector"),
        ({"lora_bias": True}, {}, "q_proj has no lora_B.bias"),
        ({"peft_type": "ADALORA", "init_r": 4}, {}, "q_proj has no lora_E"),
        ({}, {f"{Q_PROJ}.lora_magnitude_vector": (8,)}, "q_proj has a lora_magnitude_vector, not asked for"),
        ({}, {f"{Q_PROJ}.lora_B.bias": (8,)}, "q_proj has a lora_B.bias, not asked for"),
        ({"bias": "lora_only"}, {"base_model.model.model.norm.weight": (8,)}, "model.norm.weight F32"),
    ],
)
def test_tensors_and_settings_that_disagree_are_named(
    make_adapter: MakeFolder, config: dict[str, object], more: dict[str, tuple[int, ...]], named: str
) -> None:
    """PEFT would apply such a pair as a plain one, or leave the tensor out, and say nothing."""
    folder = make_adapter(**config)
    tensors = load_file(folder / WEIGHTS)
    save_file(tensors | {name: np.ones(shape, np.float32) for name, shape in more.items()}, folder / WEIGHTS)
    with pytest.raises(AdapterRejected) as caught:
        inspect_adapter("tone", folder, None)
    assert named in caught.value.message


def test_what_modules_to_save_names_must_be_there(make_adapter: MakeFolder, make_base: MakeFolder) -> None:
    folder = make_adapter(modules_to_save=["norm", "score"])
    with pytest.raises(AdapterRejected, match=r"lacks weights for what modules_to_save names: model\.norm"):
        inspect_adapter("tone", folder, read_base(make_base()))


@pytest.mark.parametrize(
    ("lora", "named"),
    [
        ({"target_parameters": ["mlp.experts.down_proj"]}, "lacks weights for what target_modules names"),
        (
            {"target_parameters": ["q_proj.gate_up_proj", "q_proj.strange"], "target_modules": ["v_proj"]},
            "which of its tensors are whose is not certain",
        ),
    ],
)
def test_parameters_without_weights_and_of_an_unknown_order_are_refused(
    make_adapter: MakeFolder, make_base: MakeFolder, lora: dict[str, object], named: str
) -> None:
    folder = make_adapter(targets=("self_attn.q_proj", "self_attn.v_proj"), **lora)
    shape = read_base(make_base())
    experts = {"model.layers.0.mlp.experts.down_proj": (4, 8, 8)}
    with pytest.raises(AdapterRejected, match=named):
        inspect_adapter("tone", folder, replace(shape, parameters={**shape.parameters, **experts}))
