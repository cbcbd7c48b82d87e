"""A whole adapter is read as it is; a broken or foreign one is rejected with the reason."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from remora.adapters.adapter import LoraModule
from remora.adapters.peft.inspect import inspect_adapter, read_base
from remora.errors import AdapterRejected, InvalidFile, ProjectIncomplete, Refused

MakeFolder = Callable[..., Path]
WEIGHTS = "adapter_model.safetensors"


def test_a_whole_adapter_is_read(make_adapter: MakeFolder, make_base: MakeFolder) -> None:
    folder = make_adapter(rank=4)
    adapter = inspect_adapter("tone", folder, read_base(make_base(), names=("tone-base",)))
    assert adapter.settings.rank == 4
    assert adapter.settings.target_modules == ("q_proj", "v_proj")
    assert [module.name for module in adapter.modules] == [
        f"model.layers.{layer}.self_attn.{side}_proj" for layer in range(2) for side in "qv"
    ]
    v_proj = "model.layers.0.self_attn.v_proj"
    pair = (f"base_model.model.{v_proj}.lora_A.weight", f"base_model.model.{v_proj}.lora_B.weight")
    assert adapter.modules[1] == LoraModule(v_proj, 4, 2.0, 8, 4, pair)
    assert len(adapter.digest) == 64
    files = (folder / WEIGHTS, folder / "adapter_config.json")
    assert adapter.size_bytes == sum(file.stat().st_size for file in files)


def test_rank_and_alpha_patterns_and_rslora_are_resolved_as_in_peft(make_adapter: MakeFolder) -> None:
    targets = ("self_attn.q_proj", "self_attn.v_proj")
    folder = make_adapter(
        targets=targets,
        rank=2,
        use_rslora=True,
        alpha_pattern={"layers.1.self_attn.v_proj": 32},
        rank_pattern={r"layers\.\d+\.self_attn\.q_proj": 2},
    )
    modules = {module.name: module for module in inspect_adapter("tone", folder, None).modules}
    assert modules["model.layers.0.self_attn.v_proj"].scaling == 8 / math.sqrt(2)
    assert modules["model.layers.1.self_attn.v_proj"].scaling == 32 / math.sqrt(2)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"peft_type": "IA3"}, "IA3"),
        ({"bias": "some"}, "bias"),
        ({"modules_to_save": "score"}, "modules_to_save"),
        ({"target_parameters": [7]}, "target_parameters"),
        ({"peft_type": "ADALORA", "init_r": 0}, "init_r"),
        ({"task_type": "SEQ_CLS"}, "SEQ_CLS"),
        ({"init_lora_weights": "pissa"}, "pissa"),
        ({"layer_replication": [[0, 1]]}, "layer_replication"),
        ({"r": 0}, "r in adapter_config.json is 0"),
        ({"r": True}, "True"),
        ({"r": int("9" * 4000)}, "(4,000 characters)"),
        ({"rank_pattern": {"q_proj": int("9" * 4000)}}, "(4,000 characters)"),
        ({"lora_alpha": int("9" * 4000)}, "(4,000 characters)"),
        ({"alpha_pattern": {"q_proj": int("9" * 4000)}}, "(4,000 characters)"),
        ({"base_model_name_or_path": "half \ud800"}, "half of a surrogate pair"),
        ({"layers_pattern": "(layers"}, "layers_pattern"),
        ({"layers_to_transform": ["1"]}, "layers_to_transform"),
        ({"exclude_modules": "("}, "regular expression"),
        ({"lora_alpha": "8"}, "lora_alpha"),
        ({"target_modules": []}, "target_modules"),
        ({"target_modules": "("}, "regular expression"),
        ({"rank_pattern": {"[": 3}}, "regular expression"),
        ({"rank_pattern": {"(?i)q_proj": 3}}, "regular expression"),
        ({"target_modules": "(" * 9_999 + ")" * 9_999}, "regular expression"),
        ({"target_modules": "a{99999999999}"}, "regular expression"),
        ({"target_modules": "a" * 65_537}, "65,537 characters"),
        ({"target_modules": r"((\w|[^!])+)+!"}, "takes more than"),
        ({"alpha_pattern": {"q_proj": None}}, "alpha_pattern"),
        ({"base_model_name_or_path": 7}, "base_model_name_or_path"),
    ],
)
def test_settings_we_would_not_apply_are_named(
    make_adapter: MakeFolder, config: dict[str, object], named: str
) -> None:
    with pytest.raises(AdapterRejected) as caught:
        inspect_adapter("tone", make_adapter(**config), None)
    assert named in caught.value.message


def test_a_number_beyond_all_is_named(make_adapter: MakeFolder) -> None:
    config = make_adapter() / "adapter_config.json"
    config.write_text(config.read_text().replace('"lora_alpha": 8', '"lora_alpha": 1e400'))
    with pytest.raises(AdapterRejected, match=r"lora_alpha in adapter_config\.json is inf"):
        inspect_adapter("tone", config.parent, None)


def test_settings_that_peft_does_not_know_are_named(make_adapter: MakeFolder) -> None:
    adapter = inspect_adapter("tone", make_adapter(use_future=[1, 2], off=False, megatron_core="x"), None)
    assert adapter.remarks == (
        "adapter_config.json has use_future = [1, 2], which is no setting of a LoRA that is known: ignored",
    )


def test_an_adapter_of_mlx_is_called_one(make_adapter: MakeFolder) -> None:
    folder = make_adapter()
    config = {"fine_tune_type": "lora", "lora_parameters": {"rank": 8}, "num_layers": 16}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    (folder / WEIGHTS).rename(folder / "adapters.safetensors")
    with pytest.raises(AdapterRejected, match="MLX") as caught:
        inspect_adapter("tone", folder, None)
    assert "mlx_lm.fuse" in caught.value.hint


@pytest.mark.parametrize("file", [WEIGHTS, "adapter_config.json"])
def test_a_pointer_of_git_lfs_is_called_one(make_adapter: MakeFolder, file: str) -> None:
    folder = make_adapter()
    (folder / file).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n")
    with pytest.raises(AdapterRejected, match=rf"{file} is a Git LFS pointer") as caught:
        inspect_adapter("tone", folder, None)
    assert "git lfs pull" in caught.value.hint


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_circle(path: Path) -> None:
    path.symlink_to(path)


@pytest.mark.parametrize("file", [WEIGHTS, "adapter_config.json"])
@pytest.mark.parametrize(
    ("odd", "named"),
    [(a_pipe, "a named pipe"), (a_device, "a device"), (a_circle, "a link that leads back to itself")],
)
def test_what_is_no_file_is_not_waited_for(
    make_adapter: MakeFolder, file: str, odd: Callable[[Path], None], named: str
) -> None:
    folder = make_adapter()
    (folder / file).unlink()
    odd(folder / file)
    with pytest.raises(AdapterRejected, match=rf"{file} is {named}"):
        inspect_adapter("tone", folder, None)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(("bad", "told"), [(np.nan, "NaN"), (np.inf, "inf"), (-np.inf, "-inf")])
def test_weights_that_are_no_numbers_are_named(
    make_adapter: MakeFolder, dtype: type[np.floating[Any]], bad: float, told: str
) -> None:
    folder = make_adapter()
    tensors = {name: value.astype(dtype) for name, value in load_file(folder / WEIGHTS).items()}
    name = "base_model.model.model.layers.1.self_attn.v_proj.lora_A.weight"
    tensors[name][3, 7] = bad
    save_file(tensors, folder / WEIGHTS)
    with pytest.raises(AdapterRejected, match=rf"cannot be computed with: {name} holds {told}$"):
        inspect_adapter("tone", folder, None)


def test_empty_halves_name_the_way_to_gather_them(make_adapter: MakeFolder) -> None:
    folder = make_adapter()
    tensors = {
        name: np.zeros(0, np.float32) if "lora_A" in name else value
        for name, value in load_file(folder / WEIGHTS).items()
    }
    save_file(tensors, folder / WEIGHTS)
    with pytest.raises(AdapterRejected, match=r"q_proj\.lora_A\.weight \[0\]") as caught:
        inspect_adapter("tone", folder, None)
    assert "GatheredParameters" in caught.value.hint


def test_weights_of_one_module_under_two_names_are_refused(make_adapter: MakeFolder) -> None:
    folder = make_adapter()
    tensors = load_file(folder / WEIGHTS)
    tensors |= {name.replace(".weight", ".default.weight"): value for name, value in tensors.items()}
    save_file(tensors, folder / WEIGHTS)
    with pytest.raises(AdapterRejected, match="the weights of a module twice"):
        inspect_adapter("tone", folder, None)


def test_weights_that_are_missing_in_one_layer_are_named(
    make_adapter: MakeFolder, make_base: MakeFolder
) -> None:
    folder = make_adapter()
    tensors = {name: value for name, value in load_file(folder / WEIGHTS).items() if "layers.1." not in name}
    save_file(tensors, folder / WEIGHTS)
    base = read_base(make_base(), names=("tone-base",))
    with pytest.raises(AdapterRejected, match=r"lacks weights .*: model\.layers\.1\.self_attn\.q_proj"):
        inspect_adapter("tone", folder, base)
    config = folder / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"layers_to_transform": [0]}))
    assert len(inspect_adapter("tone", folder, base).modules) == 2


@pytest.mark.parametrize("claimed", ["out/checkpoint-500", "runs/global_step300", "final"])
def test_a_moment_of_a_training_names_no_model(
    make_adapter: MakeFolder, make_base: MakeFolder, claimed: str
) -> None:
    folder = make_adapter(base_model_name_or_path=claimed)
    adapter = inspect_adapter("tone", folder, read_base(make_base("models/tone-base")))
    assert "tells no model: only the names and sizes of modules were compared" in adapter.remarks[0]


def test_an_adapter_of_a_quantized_copy_fits_the_original(
    make_adapter: MakeFolder, make_base: MakeFolder
) -> None:
    folder = make_adapter(base_model_name_or_path="unsloth/tone-base-unsloth-bnb-4bit")
    adapter = inspect_adapter("tone", folder, read_base(make_base("models/tone-base")))
    assert "a quantized copy" in adapter.remarks[0]
    (remark,) = inspect_adapter("tone", folder, read_base(make_base("models/phi-2"))).remarks
    assert "set also_known_as = ['tone-base']" in remark


def test_a_base_that_only_adapters_name_is_told(make_adapter: MakeFolder, make_base: MakeFolder) -> None:
    adapter = inspect_adapter("tone", make_adapter(), read_base(make_base(), claimed="tone-base"))
    assert "the adapter claims 'tone-base': only the names and sizes" in adapter.remarks[0]
    other = make_adapter("other", base_model_name_or_path="microsoft/phi-2")
    adapter = inspect_adapter("other", other, read_base(make_base(), claimed="tone-base"))
    assert "the adapter claims 'microsoft/phi-2': only the names and sizes" in adapter.remarks[0]


def test_malformed_config_is_named_with_its_line(make_adapter: MakeFolder) -> None:
    folder = make_adapter()
    (folder / "adapter_config.json").write_text('{"r": 4,\n "lora_alpha": }')
    with pytest.raises(AdapterRejected, match=r"adapter_config\.json:2:\d+"):
        inspect_adapter("tone", folder, None)


@pytest.mark.parametrize("keep", [0, 4, 8, 40, -1])
def test_a_truncated_file_is_rejected(make_adapter: MakeFolder, keep: int) -> None:
    weights = make_adapter() / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(AdapterRejected, match="truncated") as caught:
        inspect_adapter("tone", weights.parent, None)
    assert str(weights) in caught.value.message
    assert caught.value.exit_code == 5


def test_a_header_that_claims_too_much_is_not_read(make_adapter: MakeFolder) -> None:
    weights = make_adapter() / WEIGHTS
    weights.write_bytes((1 << 40).to_bytes(8, "little") + weights.read_bytes()[8:])
    with pytest.raises(AdapterRejected, match=f"header of {1 << 40} bytes"):
        inspect_adapter("tone", weights.parent, None)


@pytest.mark.parametrize(
    "header",
    [
        b"[]",
        b"nonsense",
        b'{"a": 1}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}}',
        b'{"a": {"dtype": "Q9", "shape": [1], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}',
        b'{"a": %(entry)s, "a": %(entry)s}'
        % {b"entry": b'{"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}'},
        b'{"a": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}',
    ],
)
def test_a_malformed_header_is_rejected(make_adapter: MakeFolder, header: bytes) -> None:
    folder = make_adapter()
    (folder / WEIGHTS).write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 4)
    with pytest.raises(AdapterRejected, match=r"safetensors|malformed"):
        inspect_adapter("tone", folder, None)


def test_a_name_of_a_tensor_that_is_too_long_is_not_repeated(make_adapter: MakeFolder) -> None:
    folder = make_adapter()
    name = "x" * 1_000_000
    header = json.dumps({name: {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}).encode()
    (folder / "adapter_model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(AdapterRejected, match="a tensor's name has 1000000 characters") as rejected:
        inspect_adapter("tone", folder, None)
    assert name not in rejected.value.message


def test_pickle_weights_are_never_opened(make_adapter: MakeFolder) -> None:
    folder = make_adapter()
    (folder / WEIGHTS).rename(folder / "adapter_model.bin")
    with pytest.raises(AdapterRejected, match="pickle") as caught:
        inspect_adapter("tone", folder, None)
    assert "remora adapters convert" in caught.value.hint


def test_missing_weights_are_named(make_adapter: MakeFolder) -> None:
    folder = make_adapter()
    (folder / WEIGHTS).unlink()
    with pytest.raises(AdapterRejected, match="has no adapter_model"):
        inspect_adapter("tone", folder, None)


def test_an_adapter_without_modules_is_rejected(make_adapter: MakeFolder) -> None:
    with pytest.raises(AdapterRejected, match="no tensors"):
        inspect_adapter("tone", make_adapter(tensors={}), None)


@pytest.mark.parametrize(
    "extra",
    [
        "base_model.model.model.norm.weight",
        "base_model.model.model.layers.0.self_attn.q_proj.bias",
        "base_model.model.model.layers.0.self_attn.q_proj.lora_arrow.weight",
    ],
)
def test_tensors_that_are_no_pair_are_named(make_adapter: MakeFolder, extra: str) -> None:
    folder = make_adapter()
    tensors = load_file(folder / WEIGHTS) | {extra: np.zeros((4, 8), np.float32)}
    save_file(tensors, folder / WEIGHTS)
    with pytest.raises(AdapterRejected, match="no part of a LoRA, or not asked for") as caught:
        inspect_adapter("tone", folder, None)
    assert extra in caught.value.message


@pytest.mark.parametrize(("half", "value"), [("lora_B", 0.0), ("lora_B", -0.0), ("lora_A", 0.0)])
def test_weights_without_effect_are_rejected(make_adapter: MakeFolder, half: str, value: float) -> None:
    folder = make_adapter()
    tensors = load_file(folder / WEIGHTS)
    zeroed = {name: np.full_like(t, value) if half in name else t for name, t in tensors.items()}
    save_file(zeroed, folder / WEIGHTS)
    with pytest.raises(AdapterRejected, match=f"no effect: every {half} is zero"):
        inspect_adapter("tone", folder, None)
    one = next(name for name in zeroed if half in name)
    save_file(zeroed | {one: tensors[one]}, folder / WEIGHTS)
    assert inspect_adapter("tone", folder, None)


def test_a_scaling_of_zero_is_no_effect(make_adapter: MakeFolder) -> None:
    with pytest.raises(AdapterRejected, match="no effect: lora_alpha is 0"):
        inspect_adapter("tone", make_adapter(lora_alpha=0), None)


def test_integer_weights_are_rejected(make_adapter: MakeFolder) -> None:
    folder = make_adapter()
    save_file(
        {name: value.astype(np.int8) for name, value in load_file(folder / WEIGHTS).items()}, folder / WEIGHTS
    )
    with pytest.raises(AdapterRejected, match="I8"):
        inspect_adapter("tone", folder, None)


def test_half_a_pair_is_named(make_adapter: MakeFolder) -> None:
    folder = make_adapter()
    tensors = load_file(folder / WEIGHTS)
    del tensors["base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight"]
    save_file(tensors, folder / WEIGHTS)
    with pytest.raises(AdapterRejected, match=r"layers\.1\.self_attn\.q_proj has only lora_A"):
        inspect_adapter("tone", folder, None)


def test_a_target_without_weights_is_named(make_adapter: MakeFolder) -> None:
    with pytest.raises(AdapterRejected, match=r"target_modules names: up_proj"):
        inspect_adapter("tone", make_adapter(target_modules=["q_proj", "v_proj", "up_proj"]), None)


def test_weights_that_are_no_target_are_named(make_adapter: MakeFolder) -> None:
    with pytest.raises(AdapterRejected, match=r"does not name: model\.layers\.0\.self_attn\.v_proj"):
        inspect_adapter("tone", make_adapter(target_modules=["q_proj"]), None)


@pytest.mark.parametrize("targets", ["all-linear", r".*\.self_attn\.[qv]_proj"])
def test_targets_may_be_a_pattern(make_adapter: MakeFolder, targets: str) -> None:
    adapter = inspect_adapter("tone", make_adapter(target_modules=targets), None)
    assert len(adapter.modules) == 4


def test_a_rank_that_is_not_the_weights_is_named(make_adapter: MakeFolder) -> None:
    with pytest.raises(AdapterRejected, match=r"rank 16 expected, A is \[4, 8\]"):
        inspect_adapter("tone", make_adapter(rank=4, r=16), None)


def test_an_adapter_for_other_dimensions_is_rejected(make_adapter: MakeFolder, make_base: MakeFolder) -> None:
    tensors = {
        "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight": np.ones((4, 64), np.float32),
        "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight": np.ones((64, 4), np.float32),
    }
    folder = make_adapter(tensors=tensors, target_modules=["q_proj"], base_model_name_or_path="")
    with pytest.raises(AdapterRejected, match="8 x 8 in the base, 64 x 64 in the adapter"):
        inspect_adapter("tone", folder, read_base(make_base()))


def test_an_adapter_for_modules_the_base_lacks_is_rejected(
    make_adapter: MakeFolder, make_base: MakeFolder
) -> None:
    tensors = {
        f"base_model.model.model.layers.9.self_attn.q_proj.lora_{side}.weight": np.ones(shape, np.float32)
        for side, shape in (("A", (4, 8)), ("B", (8, 4)))
    }
    folder = make_adapter(tensors=tensors, target_modules=["q_proj"])
    with pytest.raises(AdapterRejected, match=r"layers\.9\.self_attn\.q_proj: no such module"):
        inspect_adapter("tone", folder, read_base(make_base()))


@pytest.mark.parametrize(
    "trained_on",
    [
        "tone-base",
        "somewhere/Tone_Base",
        "/mount/model-cache/ours/tone-base/",
        r"C:\models\tone-base",
        "",
        "../base",
    ],
)
def test_the_same_base_by_another_path_is_accepted(
    make_adapter: MakeFolder, make_base: MakeFolder, trained_on: str
) -> None:
    folder = make_adapter(base_model_name_or_path=trained_on)
    assert inspect_adapter("tone", folder, read_base(make_base(), names=("tone-base",)))


def test_the_same_shape_under_another_name_is_a_remark(
    make_adapter: MakeFolder, make_base: MakeFolder
) -> None:
    folder = make_adapter(base_model_name_or_path="microsoft/Phi-3-mini-4k-instruct")
    base = make_base("models/tone-base")
    (remark,) = inspect_adapter("tone", folder, read_base(base)).remarks
    assert "trained on 'microsoft/Phi-3-mini-4k-instruct', and the base model in" in remark
    assert "is 'tone-base': only the names and sizes of modules were compared" in remark
    known_as = ("tone-base", "phi-3-mini-4k-instruct")
    assert inspect_adapter("tone", folder, read_base(base, names=known_as)).remarks == ()


def test_a_base_whose_name_is_unknown_is_judged_by_its_shape(
    make_adapter: MakeFolder, make_base: MakeFolder
) -> None:
    folder = make_adapter(base_model_name_or_path="microsoft/Phi-3-mini-4k-instruct")
    assert inspect_adapter("tone", folder, read_base(make_base("base")))


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "a@b", "../a", "ä", "a" * 65])
def test_a_name_that_cannot_be_an_alias_is_rejected(make_adapter: MakeFolder, name: str) -> None:
    with pytest.raises(AdapterRejected, match="cannot name an adapter"):
        inspect_adapter(name, make_adapter(), None)


def test_a_sharded_base_is_read_through_its_index(make_base: MakeFolder) -> None:
    whole, sharded = read_base(make_base("a")), read_base(make_base("b", shards=3))
    assert whole.modules == sharded.modules
    assert whole.modules["model.layers.1.mlp.down_proj"] == (8, 12)
    assert "model.embed_tokens" not in whole.modules


def test_a_missing_shard_is_named(make_base: MakeFolder) -> None:
    folder = make_base(shards=2)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ProjectIncomplete, match="model-00002-of-00002"):
        read_base(folder)


def test_an_index_may_not_lead_outside(make_base: MakeFolder) -> None:
    folder = make_base(shards=2)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"x": "../secret.safetensors"}}))
    with pytest.raises(InvalidFile, match="outside its folder"):
        read_base(folder)


def test_a_tied_output_layer_has_the_size_of_the_embeddings(make_base: MakeFolder) -> None:
    assert read_base(make_base()).modules["lm_head"] == (16, 8)


def test_a_quantized_base_is_refused_with_the_name_of_the_original(make_base: MakeFolder) -> None:
    with pytest.raises(Refused, match="quantized") as caught:
        read_base(make_base("models/Tone-1B-unsloth-bnb-4bit", quantization_config={"bits": 4}))
    assert "unquantized model as the base: Tone-1B;" in caught.value.hint


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"text_config": {}, "vision_config": {}, "model_type": "llava"}, "a multimodal model (llava"),
        ({"is_encoder_decoder": True, "model_type": "t5"}, "an encoder-decoder model (t5)"),
    ],
)
def test_a_base_of_another_kind_is_refused_by_name(
    make_base: MakeFolder, config: dict[str, object], named: str
) -> None:
    with pytest.raises(Refused) as caught:
        read_base(make_base(**config))
    assert named in caught.value.message
    assert "ForCausalLM" in caught.value.hint


def test_a_base_saved_without_the_models_prefix_is_found(make_base: MakeFolder) -> None:
    base = read_base(make_base())
    q_proj = "model.layers.0.self_attn.q_proj"
    assert base.find("layers.0.self_attn.q_proj") == base.find(q_proj) == q_proj
    assert base.find("anything.layers.0.self_attn.q_proj") is None
