"""Loading a base model: what is read, in which precision, and what is refused and why."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.engine.tiny_models import a_request, answer, write_model
from transformers import AutoModelForCausalLM

from remora.engine.torch.attention import IMPLEMENTATION, register_slot_attention
from remora.engine.torch.checkpoint import load_model, serving_dtype
from remora.engine.torch.engine import TorchEngine
from remora.engine.torch.lora import LoraSet
from remora.engine.torch.model_check import answers_alone, check_forward
from remora.engine.torch.weights import has_fast_bfloat16
from remora.errors import InvalidFile, InvalidInput, ProjectIncomplete, Refused

WEIGHTS = "model.safetensors"
MAPS = Path("/proc/self/maps")
HALF = torch.bfloat16 if has_fast_bfloat16() else torch.float32


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


@pytest.mark.skipif(not MAPS.exists(), reason="there is no /proc here that lists mappings")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_nothing_stays_mapped_from_the_checkpoint(folder: Path, dtype: str) -> None:
    model = load_model(folder, dtype=dtype, device="cpu", max_running_requests=2)
    assert str(folder) not in MAPS.read_text()
    assert model.vocab_size > 0  # it is still there


def test_a_model_whose_attention_we_do_not_compute_is_refused(tmp_path: Path) -> None:
    folder = write_model(tmp_path, "gemma2", head_dim=16, query_pre_attn_scalar=16)
    with pytest.raises(Refused, match=r"gemma2 .* softcap"):
        load_model(folder, dtype="auto", device="cpu", max_running_requests=2)


def test_a_model_that_computes_something_else_in_a_batch_is_refused(folder: Path) -> None:
    register_slot_attention()
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation=IMPLEMENTATION)
    expected = answers_alone(model)
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


def test_the_context_ends_where_one_long_text_would_change_the_others(tmp_path: Path) -> None:
    factors = [1.0] * 6
    switching = write_model(
        tmp_path,
        "phi3",
        original_max_position_embeddings=64,
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "short_factor": factors,
            "long_factor": [2.0] * 6,
        },
    )
    # Beyond 64 tokens this model counts positions in another way, for all that share the batch.
    assert load_model(switching, dtype="auto", device="cpu", max_running_requests=2).context_length == 64
