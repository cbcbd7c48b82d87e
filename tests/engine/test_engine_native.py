"""Layers in native code against the model's own modules; and what happens where they cannot be compiled."""

from __future__ import annotations

import ctypes
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.engine.tiny_models import TinyModel, a_request, answer, write_model
from transformers import AutoModelForCausalLM

from remora.engine.torch.cache.slots import SlotAllocator
from remora.engine.torch.engine import TorchEngine
from remora.engine.torch.layers.own_attention import exchange_attention
from remora.engine.torch.model.adapter_reading import AdapterWeights
from remora.engine.torch.model.lora_manager import LoraSet
from remora.engine.torch.model.model import SlotModel
from remora.engine.torch.model.model_check import answers_alone, check_forward
from remora.engine.torch.native import compiler
from remora.engine.torch.native.build import native_library
from remora.engine.torch.native.choice import NativeChoice
from remora.engine.torch.native.layers import has_native_layers
from remora.engine.torch.sampling import TokenSampler
from remora.engine.torch.scheduling.scheduler import Chunk
from remora.engine.torch.scheduling.sequence import Sequence
from remora.errors import InvalidInput

LIBRARY = native_library()
needs_compiler = pytest.mark.skipif(LIBRARY is None, reason="there is no C++ compiler here")
CACHE_TOKENS = 512
PARTLY_ROTATED = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}
TILED = {"hidden_size": 128, "intermediate_size": 320, "vocab_size": 272}  # sizes that AMX can do


@pytest.fixture
def nothing_built_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where these tests run, libraries may be built into the package; none is of this flag."""
    monkeypatch.setattr(compiler, "FLAGS", (*compiler.FLAGS, "-DREMORA_TEST_OTHER_FLAGS"))


def a_slot_model(
    folder: Path, dtype: torch.dtype, quantize: str, library: ctypes.CDLL | None
) -> tuple[SlotModel, LoraSet]:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager")
    exchange_attention(model)
    lora = LoraSet(model, quantize=quantize, library=library)
    return SlotModel(model, lora, cache_tokens=CACHE_TOKENS, context_length=CACHE_TOKENS), lora


def sequences(model: SlotModel, lengths: list[int]) -> list[Sequence]:
    slots = SlotAllocator(CACHE_TOKENS)
    made = []
    for index, length in enumerate(lengths):
        request = a_request([(7 * index + token) % 250 for token in range(length)], request_id=str(index))
        sequence = Sequence(request, deliver=lambda _event: True, sampler=TokenSampler(request.sampling))
        sequence.slot = slots.reserve(sequence.most_tokens)
        made.append(sequence)
    return made


def logits_of(model: SlotModel, lengths: list[int]) -> torch.Tensor:
    """All but the last token of each text in one step, then the last of each."""
    texts = sequences(model, lengths)
    with torch.inference_mode():
        if beginnings := [Chunk(text, 0, len(text.tokens) - 1) for text in texts if len(text.tokens) > 1]:
            model.forward(beginnings)
        return model.forward([Chunk(text, len(text.tokens) - 1, 1) for text in texts]).float().clone()


@needs_compiler
@pytest.mark.parametrize("lengths", [[1], [5, 1, 3], [40, 2, 17, 9], [3] * 17])
@pytest.mark.parametrize(
    ("architecture", "changes"),
    [
        ("qwen2", {}),
        ("qwen2", TILED),
        ("llama", {"hidden_size": 72, "intermediate_size": 88, "num_attention_heads": 6, "head_dim": 12}),
        ("qwen3", TILED | {"head_dim": 64}),
        ("mistral", {"sliding_window": 4}),
        ("phi3", {"rope_parameters": PARTLY_ROTATED, "original_max_position_embeddings": 256}),
    ],
)
@pytest.mark.parametrize("quantize", ["none", "int8"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_are_as_near_to_float32_as_those_of_the_modules(
    tmp_path: Path,
    *,
    architecture: str,
    changes: dict[str, int],
    dtype: torch.dtype,
    quantize: str,
    lengths: list[int],
) -> None:
    folder = write_model(tmp_path, architecture, **changes)
    exact = logits_of(a_slot_model(folder, torch.float32, "none", None)[0], lengths)

    def error_share(library: ctypes.CDLL | None) -> float:
        got = logits_of(a_slot_model(folder, dtype, quantize, library)[0], lengths)
        return float((got - exact).norm() / exact.norm())

    assert error_share(LIBRARY) < 1.5 * error_share(None) + 1e-5


@needs_compiler
@pytest.mark.parametrize(
    ("architecture", "changes"),
    [
        ("phi", {"hidden_size": 72, "num_attention_heads": 6, "num_key_value_heads": 6}),
        ("phi", TILED | {"rope_parameters": PARTLY_ROTATED}),
        ("stablelm", TILED | {"use_parallel_residual": True, "use_qkv_bias": True}),
        ("stablelm", {"hidden_size": 64, "use_parallel_residual": False}),
        ("starcoder2", {"use_bias": True}),
        ("gemma", TILED | {"head_dim": 64}),
        ("gemma2", TILED | {"head_dim": 64, "attn_logit_softcapping": 2.0}),
        ("gemma3_text", TILED | {"head_dim": 64, "sliding_window": 4}),
        ("olmo2", {"hidden_size": 64}),
        ("glm4", TILED),
        ("cohere2", TILED),
        ("nemotron", TILED),
        ("qwen2", TILED),
    ],
)
@pytest.mark.parametrize("quantize", ["none", "int8", "nf4"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_norms_biases_and_activations_are_those_of_the_modules(
    tmp_path: Path, *, architecture: str, changes: dict[str, Any], dtype: torch.dtype, quantize: str
) -> None:
    """With numbers in all of them: a new model's biases are 0, and its norms multiply by 1."""
    folder = write_model(tmp_path, architecture, **changes)
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn(parameter.shape) / 2)
    model.save_pretrained(folder)
    exact = logits_of(a_slot_model(folder, torch.float32, "none", None)[0], [5, 1, 3])

    def error_share(library: ctypes.CDLL | None) -> float:
        got = logits_of(a_slot_model(folder, dtype, quantize, library)[0], [5, 1, 3])
        return float((got - exact).norm() / exact.norm())

    assert error_share(LIBRARY) < 1.5 * error_share(None) + 1e-5


@needs_compiler
@pytest.mark.parametrize("rank", [3, 16, 40])
@pytest.mark.parametrize("changes", [{}, TILED], ids=["", "tiled"])
@pytest.mark.parametrize("quantize", ["none", "int8"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_adapters_add_what_they_add_to_the_modules(
    tmp_path: Path, *, changes: dict[str, int], dtype: torch.dtype, quantize: str, rank: int
) -> None:
    tiny = TinyModel(write_model(tmp_path / "base", "qwen2", **changes))
    adapters = [
        tiny.add_adapter("all", r=rank, lora_alpha=2 * rank, target_modules="all-linear"),
        tiny.add_adapter("some", r=16, lora_alpha=16, target_modules=["q_proj", "v_proj", "down_proj"]),
        None,
    ]

    def logits(dtype: torch.dtype, quantize: str, library: ctypes.CDLL | None) -> torch.Tensor:
        model, lora = a_slot_model(tiny.path, dtype, quantize, library)
        for adapter in filter(None, adapters):
            lora.install(adapter.digest, lora.read(adapter))
        # A prompt for each, so that many rows have one adapter, and single rows at the end.
        texts = sequences(model, [37, 5, 3, 21, 4])
        for text, used in zip(texts, [*adapters, *adapters], strict=False):
            text.request = replace(text.request, adapter=used.digest if used else None)
        with torch.inference_mode():
            chunks = [Chunk(text, 0, len(text.tokens) - 1) for text in texts]
            model.forward(model.arranged(chunks))
            last = model.arranged([Chunk(text, len(text.tokens) - 1, 1) for text in texts])
            return model.forward(last).float()[[last.index(chunk) for chunk in sorted(last, key=_number)]]

    exact = logits(torch.float32, "none", None)
    native, by_modules = (logits(dtype, quantize, library) for library in (LIBRARY, None))
    allowed = 1.5 * float((by_modules - exact).norm()) + 1e-5 * float(exact.norm())
    assert float((native - exact).norm()) < allowed


def _number(chunk: Chunk) -> int:
    return int(chunk.sequence.request.request_id)


@needs_compiler
@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_a_row_that_is_no_number_spoils_no_other_and_stays_none(tmp_path: Path, quantize: str) -> None:
    folder = write_model(tmp_path, "qwen2", **TILED)
    clean, _ = a_slot_model(folder, torch.bfloat16, quantize, LIBRARY)
    expected = logits_of(clean, [4, 6, 5])
    broken, _ = a_slot_model(folder, torch.bfloat16, quantize, LIBRARY)
    texts = sequences(broken, [4, 6, 5])
    with torch.inference_mode():
        embedding = broken._model.get_input_embeddings().weight
        embedding[texts[1].tokens[-1]] = float("nan")
        assert all(texts[1].tokens[-1] not in text.tokens for text in (texts[0], texts[2]))
        got = broken.forward([Chunk(text, 0, len(text.tokens)) for text in texts]).float()
    assert not got[1].isfinite().any()
    assert float((got[[0, 2]] - expected[[0, 2]]).norm() / expected[[0, 2]].norm()) < 0.03


@needs_compiler
def test_an_adapter_that_comes_again_under_its_digest_is_read_anew(llama: TinyModel) -> None:
    _, lora = a_slot_model(llama.path, torch.float32, "none", LIBRARY)
    digest = llama.adapters["one"].digest
    weights = lora.read(llama.adapters["one"])
    model = a_slot_model(llama.path, torch.float32, "none", LIBRARY)[0]

    def step(adapter: AdapterWeights | None) -> torch.Tensor:
        model.lora.remove(digest)
        if adapter is not None:
            model.lora.install(digest, adapter)
        text = sequences(model, [6])[0]
        text.request = a_request(text.request.prompt_ids, adapter=llama.adapters["one"] if adapter else None)
        with torch.inference_mode():
            return model.forward([Chunk(text, 0, 6)]).float().clone()

    base, adapted = step(None), step(weights)
    assert not torch.allclose(base, adapted)
    nothing = {name: replace(pair, a=pair.a * 0) for name, pair in weights.pairs.items()}
    torch.testing.assert_close(step(replace(weights, pairs=nothing)), base)
    torch.testing.assert_close(step(weights), adapted)


@needs_compiler
def test_native_layers_that_differ_are_left_out_and_the_modules_answer(
    llama: TinyModel, caplog: pytest.LogCaptureFixture
) -> None:
    model = AutoModelForCausalLM.from_pretrained(llama.path, attn_implementation="eager")
    # A layer that does more than its family's.
    model.model.layers[0].mlp.register_forward_hook(lambda _module, _args, out: out * 1.5)
    expected = answers_alone(model, llama.path)
    exchange_attention(model)
    lora = LoraSet(model, library=LIBRARY)
    check_forward(model, lora, expected, llama.path)
    assert lora.library is None
    assert "native layers differ" in caplog.text
    assert lora.read(llama.adapters["one"]).pairs  # and adapters are read for the modules from now on


@pytest.mark.usefixtures("nothing_built_in")
async def test_without_a_compiler_the_model_answers_by_its_modules(
    llama: TinyModel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", "")
    native_library.cache_clear()
    try:
        with caplog.at_level(logging.INFO):
            engine = TorchEngine.load(llama.path, device="cpu", native="always")
    finally:
        native_library.cache_clear()
    assert "no C++ compiler" in caplog.text
    assert "native" not in engine.stack.engine
    assert await answer(engine, a_request(range(9))) == llama.reference(None, list(range(9)), 8)
    engine.close()


@pytest.mark.usefixtures("nothing_built_in")
@pytest.mark.parametrize("compiler", ["false", "true"])
def test_a_compiler_that_makes_nothing_is_said_and_done_without(
    compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CXX", compiler)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert native_library.__wrapped__() is None
    assert "native code that is compiled here cannot be used" in caplog.text
    assert list(tmp_path.glob("remora/native/*")) == []  # nothing half-made stays


@pytest.mark.usefixtures("nothing_built_in")
def test_code_from_a_folder_that_others_may_write_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CXX", "true")
    (tmp_path / "remora" / "native").mkdir(parents=True)
    (tmp_path / "remora" / "native").chmod(0o777)
    assert native_library.__wrapped__() is None
    assert "not this user's alone" in caplog.text


@pytest.mark.usefixtures("nothing_built_in")
@needs_compiler
def test_a_machine_compiles_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert native_library.__wrapped__() is not None
    (made,) = (tmp_path / "remora" / "native").iterdir()
    before = made.stat()
    assert native_library.__wrapped__() is not None
    assert (made.stat().st_ino, made.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert made.parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("architecture", ["gpt_neox", "mixtral"])
def test_other_families_have_no_native_code(architecture: str, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(write_model(tmp_path, architecture))
    assert not has_native_layers(model.config)


def test_an_unknown_choice_is_named() -> None:
    with pytest.raises(InvalidInput, match="'sometimes'"):
        NativeChoice("sometimes", None, torch.device("cpu"), quantize="none")
