"""Loading a base model: what is read, in which precision, and what is refused and why."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.engine.tiny_models import TinyModel, a_request, answer, write_model
from transformers import AutoModelForCausalLM

from remora.engine.loading import PROGRESS
from remora.engine.torch.engine import TorchEngine
from remora.engine.torch.layers.own_attention import exchange_attention
from remora.engine.torch.layers.weights import has_fast_bfloat16
from remora.engine.torch.model.checkpoint import load_model, serving_dtype
from remora.engine.torch.model.lora_manager import LoraSet
from remora.engine.torch.model.model_check import answers_alone, check_forward
from remora.engine.torch.native.build import native_library
from remora.engine.torch.native.levels import Level, level_here
from remora.errors import InvalidFile, InvalidInput, ProjectIncomplete, Refused

WEIGHTS = "model.safetensors"
MAPS = Path("/proc/self/maps")
NATIVE = level_here() >= Level.AVX2 and native_library() is not None
HALF = torch.bfloat16 if has_fast_bfloat16() or NATIVE else torch.float32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "base", "llama")


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def drop_a_weight(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


def truncate(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-1000])


@pytest.mark.parametrize(
    ("damage", "error", "says"),
    [
        (lambda folder: (folder / "config.json").unlink(), ProjectIncomplete, "config.json is missing"),
        (lambda folder: (folder / WEIGHTS).unlink(), ProjectIncomplete, r"no \*.safetensors"),
        (lambda folder: (folder / "config.json").write_text("{"), InvalidFile, "config.json cannot be used"),
        (
            lambda folder: edit_config(folder, model_type="nonsense"),
            InvalidFile,
            "config.json cannot be used",
        ),
        (truncate, InvalidFile, "cannot be loaded"),
        (drop_a_weight, InvalidFile, "lacks 1 weights, first model.layers.1.mlp.up_proj.weight"),
        (lambda folder: edit_config(folder, layer_types=["chunked_attention"] * 2), Refused, "chunked"),
    ],
)
def test_a_damaged_checkpoint_is_refused(
    folder: Path, damage: Callable[[Path], object], error: type[Exception], says: str
) -> None:
    damage(folder)
    with pytest.raises(error, match=says):
        load_model(folder, dtype="auto", device="cpu", max_running_requests=2)


def test_the_progress_of_loading_is_a_line_that_counts_all_weights(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, PROGRESS.name):
        load_model(folder, dtype="float32", device="cpu", max_running_requests=2)
    weights = len(load_file(folder / WEIGHTS))
    assert caplog.messages[-1] == f"loading weights {weights} of {weights}"
    caplog.clear()
    load_model(folder, dtype="float32", device="cpu", max_running_requests=2)
    assert caplog.messages == []  # silent unless somebody asks for it


@pytest.mark.skipif(not MAPS.exists(), reason="there is no /proc here that lists mappings")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_nothing_stays_mapped_from_the_checkpoint(folder: Path, dtype: str) -> None:
    model = load_model(folder, dtype=dtype, device="cpu", max_running_requests=2)
    assert str(folder) not in MAPS.read_text()
    assert model.vocab_size > 0  # it is still there


@pytest.mark.parametrize(
    ("architecture", "config", "says"),
    [
        ("openai-gpt", {"n_embd": 48, "n_layer": 2, "n_head": 4}, "an attention of its own"),
        ("mamba", {"state_size": 4}, "layers that carry a state from token to token"),
        ("doge", {}, "a mask of its own"),
    ],
)
def test_a_model_whose_attention_we_do_not_compute_is_refused_by_what_it_has(
    tmp_path: Path, architecture: str, config: dict[str, Any], says: str
) -> None:
    folder = write_model(tmp_path, architecture, **config)
    with pytest.raises(Refused, match=rf"{architecture} model in .* has {says}") as caught:
        load_model(folder, dtype="auto", device="cpu", max_running_requests=2)
    assert 'engine = "vllm"' in caught.value.hint


def test_weights_that_are_no_numbers_are_named(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    weights["model.layers.1.mlp.up_proj.weight"][3, 5] = float("nan")
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(
        InvalidFile, match=r"NaN or infinite numbers in model\.layers\.1\.mlp\.up_proj"
    ) as caught:
        load_model(folder, dtype="auto", device="cpu", max_running_requests=2)
    assert "copy the base model again" in caught.value.hint


def test_a_model_of_text_and_images_is_refused_by_name(folder: Path) -> None:
    edit_config(folder, architectures=["LlavaForConditionalGeneration"], model_type="llava")
    edit_config(
        folder, text_config={"model_type": "llama"}, vision_config={"model_type": "clip_vision_model"}
    )
    with pytest.raises(Refused, match=r"a multimodal model \(llava") as caught:
        load_model(folder, dtype="auto", device="cpu", max_running_requests=2)
    assert "only its language model" in caught.value.hint


def test_a_model_that_computes_something_else_in_a_batch_is_refused(folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    expected = answers_alone(model, folder)
    exchange_attention(model)
    lora = LoraSet(model)
    check_forward(model, lora, expected, folder)
    # A layer that mixes neighbours in the batch, as a convolution or a recurrent state does.
    model.model.layers[0].mlp.register_forward_hook(lambda _module, _args, out: out + out.roll(1, dims=1))
    with pytest.raises(Refused, match="differs by"):
        check_forward(model, lora, expected, folder)


@pytest.mark.parametrize(
    ("stored", "asked", "used"),
    [
        ("float32", "auto", torch.float32),
        ("bfloat16", "auto", HALF),
        ("float16", "auto", HALF),
        ("bfloat16", "float32", torch.float32),
        ("float32", "bfloat16", torch.bfloat16),
    ],
)
async def test_precision(tmp_path: Path, stored: str, asked: str, used: torch.dtype) -> None:
    folder = write_model(tmp_path, "llama", dtype=stored)
    model = load_model(folder, dtype=asked, device="cpu", max_running_requests=2, cache_tokens=64)
    assert model.dtype == used


@pytest.mark.parametrize(
    ("own", "place", "fast", "expected"),
    [
        (torch.float32, "cpu", True, torch.float32),
        (torch.bfloat16, "cpu", True, torch.bfloat16),
        (torch.bfloat16, "cpu", False, torch.float32),
        (torch.float16, "cpu", True, torch.bfloat16),
        (torch.float16, "cuda", False, torch.float16),
    ],
)
def test_the_precision_that_a_machine_is_made_for(
    own: torch.dtype, place: str, fast: bool, expected: torch.dtype
) -> None:
    assert serving_dtype("auto", own, torch.device(place), fast_bfloat16=fast) == expected


async def test_half_precision_answers(tmp_path: Path) -> None:
    engine = TorchEngine.load(write_model(tmp_path, "qwen2"), dtype="bfloat16", device="cpu")
    assert len(await answer(engine, a_request(range(40), max_tokens=9))) == 9
    engine.close()


GEMMA4: dict[str, Any] = {
    "head_dim": 16,
    "global_head_dim": 32,
    "sliding_window": 9,
    "num_hidden_layers": 4,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "num_kv_shared_layers": 0,
    "hidden_size_per_layer_input": 8,
    "vocab_size_per_layer_input": 260,
}


@pytest.mark.parametrize("shared", [0, 2])
async def test_a_model_whose_layers_differ_in_size_is_served(tmp_path: Path, shared: int) -> None:
    """Gemma 4 asks each layer for its size, and its last layers may use the keys of earlier ones."""
    path = write_model(tmp_path / "base", "gemma4_text", **GEMMA4 | {"num_kv_shared_layers": shared})
    tiny, prompt = TinyModel(path), (3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 4, 6, 10)
    tiny.add_adapter("a", target_modules=["q_proj", "down_proj"], r=4)
    engine = TorchEngine.load(path, dtype="float32")
    try:
        engine.load_adapter(tiny.adapters["a"])
        for name in (None, "a"):
            adapter = tiny.adapters[name] if name else None
            ours = await answer(engine, a_request(prompt, adapter=adapter, max_tokens=12))
            assert ours == tiny.reference(name, prompt, 12)
    finally:
        engine.close()


def test_an_unknown_precision_is_named(folder: Path) -> None:
    with pytest.raises(InvalidInput, match="'int3'"):
        load_model(folder, dtype="int3", device="cpu", max_running_requests=2)


def test_an_unknown_quantisation_is_named(folder: Path) -> None:
    with pytest.raises(InvalidInput, match="'int3'"):
        load_model(folder, dtype="auto", device="cpu", max_running_requests=2, quantize="int3")


def test_the_context_is_the_models_and_no_more_than_the_cache(folder: Path) -> None:
    roomy = load_model(folder, dtype="auto", device="cpu", max_running_requests=3)
    assert (roomy.context_length, roomy.cache_tokens) == (256, 3 * 256)
    tight = load_model(folder, dtype="auto", device="cpu", max_running_requests=3, cache_tokens=100)
    assert (tight.context_length, tight.cache_tokens) == (100, 100)
