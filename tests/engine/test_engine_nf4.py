"""nf4 against what bitsandbytes made and against PEFT; checkpoints in nf4 as they lie; what is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.engine.record_nf4 import MATRICES, RECORDING
from tests.engine.tiny_models import TinyModel, a_request, read, write_model, write_tokenizer
from transformers import AutoModelForCausalLM

from remora.adapters.adapter import Adapter
from remora.adapters.peft.base_shape import read_base
from remora.adapters.peft.nf4_entries import STATE
from remora.adapters.peft.tensor_file import TensorEntry
from remora.engine.torch.engine import TorchEngine
from remora.engine.torch.layers.int4 import Int4Weights
from remora.engine.torch.layers.nf4 import VALUES, Nf4Weights, quantized, read_nf4, scale_map
from remora.engine.torch.layers.weights import Int8Weights
from remora.engine.torch.model import memory
from remora.engine.torch.model.checkpoint import load_model
from remora.engine.torch.native.build import native_library
from remora.errors import InvalidFile, InvalidInput, LoadFailed, Refused

RECORDED = load_file(RECORDING)
SIZES = {"hidden_size": 128, "intermediate_size": 192, "initializer_range": 0.1}
ODD_SIZES = {"hidden_size": 72, "intermediate_size": 90, "num_attention_heads": 6, "initializer_range": 0.1}
PROMPT = [7, 4, 250, 31, 31, 8]
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128, "version": "gemm", "zero_point": True}
IN_NF4 = {
    "quant_method": "bitsandbytes",
    "load_in_4bit": True,
    "bnb_4bit_quant_type": "nf4",
    "bnb_4bit_use_double_quant": True,
}
DIVERGENCE = {"float32": 1e-5, "bfloat16": 0.01}


def state_of(name: str) -> dict[str, torch.Tensor]:
    """What a checkpoint holds of one recorded matrix, by what stands behind its name."""
    start = f"{name}.weight"
    return {key[len(start) :].removeprefix("."): RECORDED[key] for key in RECORDED if key.startswith(start)}


@pytest.mark.parametrize("name", MATRICES)
def test_codes_and_scales_are_those_of_bitsandbytes_bit_for_bit(name: str) -> None:
    made, state = quantized(RECORDED[f"{name}.original"]), state_of(name)
    assert torch.equal(made.packed, state[""].flatten())
    assert torch.equal(made.scale_steps, state["nested_absmax"])
    assert float(made.offset) == json.loads(bytes(state[STATE].tolist()))["nested_offset"]
    assert torch.equal(scale_map(), state["nested_quant_map"])
    assert torch.equal(made.scale_codes, RECORDED[f"{name}.nearest_absmax"])
    # Its code for processors may take the other neighbour where both are almost as near: here, none is.
    assert torch.equal(made.scale_codes, state["absmax"])


@pytest.mark.parametrize("name", ["large", "flat"])  # "part" it dequantises row by row, unlike it quantised
def test_a_matrix_of_a_checkpoint_is_dequantised_as_bitsandbytes_does(name: str) -> None:
    original = RECORDED[f"{name}.original"]
    kept = read_nf4(state_of(name), (original.shape[0], original.shape[1]))
    assert torch.equal(kept.matrix().to(original.dtype), RECORDED[f"{name}.dequantized"])


@pytest.mark.parametrize("shape", [(5, 66), (3, 7), (130, 64), (64, 72), (1, 1)])
def test_numbers_are_the_nearest_of_sixteen_times_the_scale_of_their_block(shape: tuple[int, int]) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    kept = Nf4Weights.of(weight)
    flat, values = weight.flatten().double().numpy(), np.array(VALUES)
    for block in range(len(kept.scales)):
        numbers = flat[block * 64 : (block + 1) * 64]
        nearest = values[np.abs(numbers[:, None] / np.abs(numbers).max() - values).argmin(1)]
        got = kept.matrix().flatten()[block * 64 : (block + 1) * 64].double().numpy()
        np.testing.assert_allclose(got, nearest * float(kept.scales[block]), rtol=1e-6)
    x = torch.randn(3, shape[1])
    torch.testing.assert_close(kept.multiply(x), x @ kept.matrix().t())


def test_scales_that_were_quantised_only_once_are_read() -> None:
    weight = torch.randn(4, 64, generator=torch.Generator().manual_seed(2))
    scales = weight.abs().amax(dim=1)
    state = {"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": [4, 64]}
    tensors = {
        "": quantized(weight).packed[:, None],
        "absmax": scales,
        "quant_map": torch.tensor(VALUES),
        STATE: torch.tensor(list(json.dumps(state).encode()), dtype=torch.uint8),
    }
    kept = read_nf4(tensors, (4, 64))
    assert torch.equal(kept.scales, scales)
    assert kept.scales.data_ptr() != scales.data_ptr()  # whose memory is given back


class Nf4Base:
    """A tiny base, the same in nf4 as bitsandbytes writes it, and dequantised for PEFT; an adapter."""

    def __init__(self, folder: Path, kind: str, sizes: Mapping[str, object]) -> None:
        self.plain = TinyModel(write_model(folder / "plain", kind, **sizes))
        self.adapter = self.plain.add_adapter("a", r=4, lora_alpha=16, target_modules="all-linear")
        self.in_nf4, self.dequantized = folder / "x-bnb-4bit", TinyModel(folder / "dequantized")
        self.dequantized.adapters["a"] = self.adapter
        model = AutoModelForCausalLM.from_pretrained(self.plain.path, dtype=torch.float32)
        tensors = {}
        for name, parameter in model.state_dict().items():
            if parameter.ndim != 2 or "embed" in name or "lm_head" in name:
                tensors[name] = parameter
                continue
            made = quantized(parameter)
            tensors |= as_in_a_checkpoint(name, parameter)
            kept = Nf4Weights.packed(made.packed, made.scales(), tuple(parameter.shape))
            parameter.copy_(kept.matrix())
        model.save_pretrained(self.dequantized.path)
        model.config.quantization_config = IN_NF4
        model.config.save_pretrained(self.in_nf4)
        write_tokenizer(self.in_nf4)
        save_file(tensors, self.in_nf4 / "model.safetensors", metadata={"format": "pt"})

    async def divergences(self, folder: Path, **how: str) -> list[float]:
        """From PEFT in float32 on the dequantised base: of the base alone, then with the adapter."""
        engine = TorchEngine.load(folder, **how)  # type: ignore[arg-type]
        try:
            assert "nf4" in engine.stack.dtype
            assert ("native" in engine.stack.engine) == (
                how["native"] == "always" and native_library() is not None
            )
            engine.load_adapter(self.adapter)
            return [await self._divergence(engine, adapter) for adapter in (None, self.adapter)]
        finally:
            engine.close()

    async def _divergence(self, engine: TorchEngine, adapter: Adapter | None) -> float:
        events = await read(engine, a_request(PROMPT, adapter=adapter, max_tokens=12, top_logprobs=260))
        tokens = [event.token_id for event in events]
        expected = self.dequantized.logprobs("a" if adapter else None, PROMPT, tokens)
        got = torch.empty_like(expected)
        for row, event in enumerate(events):
            ids, logprobs = zip(*event.top_logprobs, strict=True)
            got[row, list(ids)] = torch.tensor(logprobs)
        return float((expected.exp() * (expected - got)).sum(-1).mean())


def as_in_a_checkpoint(name: str, weight: torch.Tensor) -> dict[str, torch.Tensor]:
    made = quantized(weight)
    state = {
        "quant_type": "nf4",
        "blocksize": 64,
        "dtype": "float32",
        "shape": list(weight.shape),
        "nested_blocksize": 256,
        "nested_dtype": "float32",
        "nested_offset": float(made.offset),
    }
    return {
        name: made.packed[:, None],
        f"{name}.absmax": made.scale_codes,
        f"{name}.quant_map": torch.tensor(VALUES),
        f"{name}.nested_absmax": made.scale_steps,
        f"{name}.nested_quant_map": scale_map().clone(),
        f"{name}.{STATE}": torch.tensor(list(json.dumps(state).encode()), dtype=torch.uint8),
    }


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Nf4Base:
    return Nf4Base(tmp_path_factory.mktemp("llama"), "llama", SIZES)


@pytest.mark.parametrize("native", ["never", "always"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
async def test_answers_are_those_of_peft_on_the_base_in_nf4(llama: Nf4Base, dtype: str, native: str) -> None:
    quantised_here = await llama.divergences(llama.plain.path, quantize="nf4", dtype=dtype, native=native)
    as_it_lies = await llama.divergences(llama.in_nf4, dtype=dtype, native=native)
    assert max(*quantised_here, *as_it_lies) < DIVERGENCE[dtype]


async def test_matrices_whose_blocks_cross_rows_are_served_by_modules(tmp_path: Path) -> None:
    odd = Nf4Base(tmp_path, "qwen2", ODD_SIZES)
    assert max(await odd.divergences(odd.in_nf4, dtype="float32", native="never")) < DIVERGENCE["float32"]
    engine = TorchEngine.load(odd.in_nf4, native="always")
    engine.close()
    assert "native" not in engine.stack.engine


GPT2 = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 64, "initializer_range": 0.1}


@pytest.mark.parametrize("quantize", ["nf4", "int4", "int8"])
@pytest.mark.parametrize(("family", "sizes"), [("gpt2", GPT2), ("falcon", {"initializer_range": 0.1})])
async def test_linear_layers_of_other_classes_are_quantised_too(
    tmp_path: Path, family: str, sizes: dict[str, float], quantize: str
) -> None:
    engine = TorchEngine.load(write_model(tmp_path, family, **sizes), quantize=quantize, dtype="float32")
    assert len(await read(engine, a_request(PROMPT, max_tokens=3))) == 3
    kinds = {type(each.weights) for each in engine._model.lora.projections if not each.sees_last_rows}
    assert kinds == {{"nf4": Nf4Weights, "int4": Int4Weights, "int8": Int8Weights}[quantize]}
    engine.close()


def test_codes_of_a_transposed_layer_have_the_sizes_of_the_layer(tmp_path: Path) -> None:
    """bitsandbytes turns the matrix of a Conv1D before it makes codes of it."""
    plain = write_model(tmp_path / "plain", "gpt2", **GPT2)
    tensors = load_file(plain / "model.safetensors")
    name = "transformer.h.0.attn.c_attn.weight"
    state = json.dumps({"shape": list(tensors[name].shape[::-1])}).encode()
    codes = tmp_path / "codes"
    codes.mkdir()
    for file in plain.iterdir():
        if file.suffix != ".safetensors":
            (codes / file.name).write_bytes(file.read_bytes())
    tensors[name] = torch.zeros(tensors[name].numel() // 2, 1, dtype=torch.uint8)
    tensors[f"{name}.{STATE}"] = torch.tensor(list(state), dtype=torch.uint8)
    save_file(tensors, codes / "model.safetensors", metadata={"format": "pt"})
    assert read_base(codes).modules == read_base(plain).modules


def test_numbers_that_are_none_are_named_in_int8_too(tmp_path: Path) -> None:
    folder = write_model(tmp_path, "llama")
    tensors = load_file(folder / "model.safetensors")
    tensors[BROKEN][3, 1] = torch.nan
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InvalidFile, match=f"NaN or infinite numbers in {re.escape(BROKEN)}"):
        load_model(folder, dtype="float32", device="cpu", max_running_requests=1, quantize="int8")


def test_experts_stay_as_they_are_and_are_counted_so() -> None:
    expert = TensorEntry("model.layers.0.mlp.experts.3.up_proj.weight", "BF16", (1000, 1000), 0, 0)
    layer = replace(expert, name="model.layers.0.mlp.up_proj.weight")
    needed = [memory.needed_bytes([each], torch.bfloat16, "nf4") for each in (expert, layer)]
    assert needed[0] == memory.needed_bytes([expert], torch.bfloat16, "none") > needed[1]


def test_an_adapter_fits_the_base_in_nf4_as_it_fits_the_original(llama: Nf4Base) -> None:
    assert read_base(llama.in_nf4).fingerprint == read_base(llama.plain.path).fingerprint


def test_layers_that_a_checkpoint_leaves_in_16_bits_stay_so(llama: Nf4Base, tmp_path: Path) -> None:
    name = "model.layers.0.self_attn.v_proj.weight"

    def leave_out(tensors: dict[str, torch.Tensor]) -> None:
        original = load_file(llama.plain.path / "model.safetensors")[name]
        for key in [key for key in tensors if key.startswith(name)]:
            del tensors[key]
        tensors[name] = original

    loaded = load_model(
        changed(llama, tmp_path, leave_out), dtype="auto", device="cpu", max_running_requests=1
    )
    assert "nf4" in loaded.stack.dtype


def changed(base: Nf4Base, folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> Path:
    for file in base.in_nf4.iterdir():
        if file.suffix != ".safetensors":
            (folder / file.name).write_bytes(file.read_bytes())
    tensors = load_file(base.in_nf4 / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


BROKEN = "model.layers.1.mlp.up_proj.weight"


@pytest.mark.parametrize(
    ("part", "value", "said"),
    [
        (STATE, None, f"codes without {STATE}"),
        ("nested_absmax", None, "lacks 'nested_absmax'"),
        ("absmax", torch.zeros(5, dtype=torch.uint8), "5 scales for"),
        ("quant_map", torch.zeros(16), "another quant_map"),
        ("nested_absmax", torch.full((2,), torch.nan), "NaN or infinite numbers"),
    ],
)
def test_a_quantisation_state_that_is_not_whole_is_named(
    llama: Nf4Base, tmp_path: Path, part: str, value: torch.Tensor | None, said: str
) -> None:
    def break_it(tensors: dict[str, torch.Tensor]) -> None:
        del tensors[f"{BROKEN}.{part}"]
        if value is not None:
            tensors[f"{BROKEN}.{part}"] = value

    with pytest.raises(InvalidFile, match=f"has .*{said}.* in {BROKEN}"):
        load_model(changed(llama, tmp_path, break_it), dtype="auto", device="cpu", max_running_requests=1)


def test_blocks_of_another_size_are_named(llama: Nf4Base, tmp_path: Path) -> None:
    def enlarge(tensors: dict[str, torch.Tensor]) -> None:
        state = json.loads(bytes(tensors[f"{BROKEN}.{STATE}"].tolist())) | {"blocksize": 128}
        tensors[f"{BROKEN}.{STATE}"] = torch.tensor(list(json.dumps(state).encode()), dtype=torch.uint8)

    with pytest.raises(InvalidFile, match="nf4 in blocks of 128, not nf4 in blocks of 64"):
        load_model(changed(llama, tmp_path, enlarge), dtype="auto", device="cpu", max_running_requests=1)


def test_weights_that_are_no_numbers_are_named_while_they_are_quantised(tmp_path: Path) -> None:
    folder = write_model(tmp_path, "llama")
    tensors = load_file(folder / "model.safetensors")
    tensors[BROKEN][0, 0] = torch.nan
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InvalidFile, match=f"has NaN or infinite numbers in {BROKEN}"):
        load_model(folder, dtype="auto", device="cpu", max_running_requests=1, quantize="nf4")


def test_a_base_in_nf4_is_not_quantised_to_int8(llama: Nf4Base) -> None:
    with pytest.raises(InvalidInput, match="is in nf4 already"):
        load_model(llama.in_nf4, dtype="auto", device="cpu", max_running_requests=1, quantize="int8")


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (GPTQ | {"bits": 3}, "GPTQ with bits 3"),
        (GPTQ | {"bits": 8}, "GPTQ with bits 8"),
        (GPTQ | {"group_size": 16}, "GPTQ with group_size 16"),
        (GPTQ | {"checkpoint_format": "marlin"}, "GPTQ with checkpoint_format marlin"),
        (GPTQ | {"is_marlin_format": True}, "GPTQ with is_marlin_format True"),
        (GPTQ | {"lm_head": True}, "GPTQ with lm_head True"),
        (AWQ | {"bits": 2}, "AWQ with bits 2"),
        (AWQ | {"version": "gemv"}, "AWQ with version gemv"),
        (AWQ | {"version": "exllama"}, "AWQ with version exllama"),
        (AWQ | {"zero_point": False}, "AWQ with zero_point False"),
        ({"quant_method": "auto-round", "bits": 4}, "auto-round"),
        ({"quant_method": "aqlm"}, "AQLM"),
        ({"quant_method": "compressed-tensors"}, "compressed-tensors, such as FP8"),
        ({"quant_method": "fp8"}, "FP8"),
        ({"quant_method": "hqq"}, "HQQ"),
        ({"quant_method": "exl2"}, "EXL2"),
        ({"quant_method": "gguf"}, "GGUF"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "bitsandbytes in 8 bits"),
        (IN_NF4 | {"bnb_4bit_quant_type": "fp4"}, "bitsandbytes' fp4 in uint8"),
        (IN_NF4 | {"bnb_4bit_quant_storage": "bfloat16"}, "bitsandbytes' nf4 in bfloat16"),
    ],
)
def test_other_quantised_checkpoints_are_refused_by_name(
    llama: Nf4Base, tmp_path: Path, config: dict[str, object], named: str
) -> None:
    folder = changed(llama, tmp_path, lambda _tensors: None)
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"quantization_config": config}))
    for refusing in (
        read_base,
        lambda path: load_model(path, dtype="auto", device="cpu", max_running_requests=1),
    ):
        with pytest.raises(Refused) as caught:
            refusing(folder)
        assert f"is a quantized checkpoint ({named})" in caught.value.message
        assert 'quantize = "nf4"' in caught.value.hint


def test_a_model_that_does_not_fit_is_refused_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = write_model(tmp_path, "llama", hidden_size=512, intermediate_size=4096)
    monkeypatch.setattr(memory, "free_bytes", lambda _place: 140e6)
    with pytest.raises(LoadFailed, match=r"needs 0\.2 GB in float32, and 0\.1 GB are free") as caught:
        load_model(folder, dtype="float32", device="cpu", max_running_requests=1)
    assert 'quantize = "nf4" under [serve] in remora.toml needs 0.1 GB' in caught.value.hint
