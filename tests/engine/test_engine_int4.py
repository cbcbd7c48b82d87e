"""4 bits in groups: checkpoints in GPTQ and AWQ against PEFT on what they stand for; what is refused."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.engine.int4_checkpoints import Int4Base, Kind, written
from tests.engine.tiny_models import TinyModel, a_request, read, write_model

from remora.adapters.adapter import Adapter
from remora.adapters.peft.base_shape import read_base
from remora.engine.torch.engine import TorchEngine
from remora.engine.torch.layers.int4 import Int4Weights, read_int4
from remora.engine.torch.layers.nf4 import Nf4Weights
from remora.engine.torch.model import memory
from remora.engine.torch.model.checkpoint import load_model
from remora.engine.torch.native.build import native_library
from remora.engine.torch.native.levels import VARIABLE, Level, level_here
from remora.errors import InvalidFile, InvalidInput, LoadFailed

SIZES = {"hidden_size": 128, "intermediate_size": 256, "initializer_range": 0.1}
PROMPTS = [[7, 4, 250, 31, 31, 8], [1, 2, 3], [9] * 11]
KINDS = {
    "gptq": Kind("gptq", 32, "gptq"),
    "gptq symmetric": Kind("gptq", 128, "gptq", symmetric=True),
    "gptq v2": Kind("gptq", 64, "gptq_v2"),
    "gptq rows": Kind("gptq", -1, "gptq"),
    "gptq by activation": Kind("gptq", 32, "gptq", by_activation=True),
    "awq": Kind("awq", 128, "gemm"),
    "awq 64": Kind("awq", 64, "GEMM"),
}
DIVERGENCE = {"float32": 1e-5, "bfloat16": 0.01}
BROKEN = "model.layers.1.mlp.up_proj"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("plain"), "llama", **SIZES)


@pytest.fixture(scope="module")
def bases(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Int4Base]:
    made: dict[str, Int4Base] = {}

    def base(name: str) -> Int4Base:
        if name not in made:
            made[name] = Int4Base(tmp_path_factory.mktemp("int4"), plain, KINDS[name])
        return made[name]

    return base


async def divergences(base: Int4Base, folder: Path, *, is_native: bool, **how: str) -> list[float]:
    """From PEFT in float32 on the dequantised base, of requests in one batch: the base, and the adapter."""
    engine = TorchEngine.load(folder, native="always" if is_native else "never", **how)  # type: ignore[arg-type]
    try:
        assert engine.stack.dtype.endswith("int4 weights")
        assert ("native" in engine.stack.engine) == (is_native and native_library() is not None)
        engine.load_adapter(base.adapter)
        asked = [(prompt, adapter) for prompt in PROMPTS for adapter in (None, base.adapter)]
        return await asyncio.gather(*(divergence(base.dequantized, engine, *each) for each in asked))
    finally:
        engine.close()


async def divergence(
    model: TinyModel, engine: TorchEngine, prompt: list[int], adapter: Adapter | None
) -> float:
    request = a_request(
        prompt, adapter=adapter, max_tokens=8, top_logprobs=260, request_id=f"{prompt}{adapter is None}"
    )
    events = await read(engine, request)
    expected = model.logprobs("a" if adapter else None, prompt, [event.token_id for event in events])
    got = torch.empty_like(expected)
    for row, event in enumerate(events):
        ids, logprobs = zip(*event.top_logprobs, strict=True)
        got[row, list(ids)] = torch.tensor(logprobs)
        # The token is the reference's own, or as likely there within what rounding does.
        assert float(expected[row].max() - expected[row, event.token_id]) < 0.4
    return float((expected.exp() * (expected - got)).sum(-1).mean())


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("is_native", [False, True], ids=["modules", "native"])
async def test_answers_are_those_of_peft_on_what_the_codes_stand_for(
    bases: Callable[[str], Int4Base], name: str, *, is_native: bool
) -> None:
    base, by_activation = bases(name), KINDS[name].by_activation
    made = await divergences(base, base.path, is_native=is_native and not by_activation, dtype="float32")
    assert max(made) < DIVERGENCE["float32"]


@pytest.mark.parametrize("level", [level for level in Level if level <= level_here()])
@pytest.mark.parametrize("name", ["gptq", "awq"])
async def test_every_level_of_native_code_answers_so_in_bfloat16(
    bases: Callable[[str], Int4Base], name: str, level: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, level.name.lower())
    native_library.cache_clear()
    try:
        made = await divergences(bases(name), bases(name).path, is_native=True, dtype="bfloat16")
    finally:
        native_library.cache_clear()
    assert max(made) < DIVERGENCE["bfloat16"]


async def test_columns_by_activation_are_served_by_modules_also_where_native_code_is_asked_for(
    bases: Callable[[str], Int4Base],
) -> None:
    engine = TorchEngine.load(bases("gptq by activation").path, native="always")
    engine.close()
    assert "native" not in engine.stack.engine


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("shape", [(8, 128), (24, 384)])
def test_a_matrix_is_dequantised_to_the_last_bit(name: str, shape: tuple[int, int]) -> None:
    kind = KINDS[name]
    parts, numbers = written(kind, np.random.default_rng(3).normal(size=shape), 5)
    tensors = {part: torch.from_numpy(each) for part, each in parts.items()}
    kept = read_int4(tensors, kind.version if kind.method == "gptq" else "awq", shape)
    assert torch.equal(kept.matrix(), torch.from_numpy(numbers))
    x = torch.randn(3, shape[1], generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(kept.multiply(x), x @ kept.matrix().t(), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize(("columns", "group"), [(256, 64), (96, 32), (72, 72), (7, 7)])
def test_numbers_are_the_nearest_of_sixteen_between_the_ends_of_their_group(columns: int, group: int) -> None:
    weight = torch.randn((5, columns), generator=torch.Generator().manual_seed(2))
    weight[0] = 0.25  # a group without a step
    kept = Int4Weights.of(weight)
    groups = weight.view(5, -1, group).double()
    lowest, highest = groups.aminmax(dim=-1, keepdim=True)
    steps = (torch.arange(16) / 15 * (highest - lowest) + lowest).unsqueeze(-2)
    nearest = (groups.unsqueeze(-1) - steps).abs().min(-1).values
    got = (kept.matrix().double().view_as(groups) - groups).abs()
    torch.testing.assert_close(got, nearest, atol=1e-6, rtol=0)
    assert kept.group == group
    x = torch.randn(3, columns)
    torch.testing.assert_close(kept.multiply(x), x @ kept.matrix().t())


@pytest.mark.parametrize(("outliers", "int4", "nf4"), [(False, 0.0080, 0.0084), (True, 0.0122, 0.0110)])
def test_what_is_lost_is_what_the_page_says(*, outliers: bool, int4: float, nf4: float) -> None:
    torch.manual_seed(0)
    shape = (512, 1024)
    weight = torch.distributions.StudentT(5.0).sample(shape) if outliers else torch.randn(shape)
    for kept, share in ((Int4Weights.of(weight), int4), (Nf4Weights.of(weight), nf4)):
        lost = (kept.matrix() - weight).square().mean() / weight.square().mean()
        assert float(lost) == pytest.approx(share, rel=0.03)


async def test_a_plain_checkpoint_is_quantised_while_it_is_read(plain: Path, tmp_path: Path) -> None:
    """By modules and in native code it answers as PEFT on the numbers that its codes stand for."""
    reference = Int4Base(tmp_path, plain, KINDS["awq"])
    tensors = load_file(reference.dequantized.path / "model.safetensors")
    for name, tensor in load_file(plain / "model.safetensors").items():
        if name.endswith("_proj.weight"):
            tensors[name] = Int4Weights.of(tensor).matrix()
    save_file(tensors, reference.dequantized.path / "model.safetensors", metadata={"format": "pt"})
    for is_native in (False, True):
        made = await divergences(reference, plain, is_native=is_native, quantize="int4", dtype="bfloat16")
        assert max(made) < DIVERGENCE["bfloat16"]


def test_an_adapter_fits_a_base_in_int4_as_it_fits_the_original(
    bases: Callable[[str], Int4Base], plain: Path
) -> None:
    fingerprints = {read_base(bases(name).path).fingerprint for name in ("gptq", "awq")}
    assert fingerprints == {read_base(plain).fingerprint}


def test_layers_that_a_checkpoint_leaves_in_16_bits_stay_so(plain: Path, tmp_path: Path) -> None:
    base = Int4Base(tmp_path, plain, KINDS["awq 64"], whole="model.layers.0.self_attn.v_proj")
    loaded = load_model(base.path, dtype="auto", device="cpu", max_running_requests=1)
    kinds = {name: type(each.weights) for each in loaded.lora.projections for name in each.names}
    assert kinds["model.layers.0.self_attn.q_proj"] is Int4Weights
    assert kinds["model.layers.0.self_attn.v_proj"] is not Int4Weights


def test_a_base_in_int4_is_not_quantised_to_another_form(bases: Callable[[str], Int4Base]) -> None:
    with pytest.raises(InvalidInput, match="is in int4 already and is not quantised to nf4"):
        load_model(bases("awq").path, dtype="auto", device="cpu", max_running_requests=1, quantize="nf4")


def test_codes_count_in_their_own_form_before_anything_is_loaded(
    bases: Callable[[str], Int4Base], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda _place: 1e6)
    with pytest.raises(LoadFailed, match=r"needs 0\.1 GB in int4, and 0\.0 GB are free"):
        load_model(bases("awq").path, dtype="auto", device="cpu", max_running_requests=1)


Tensors = dict[str, torch.Tensor]


def changed(base: Int4Base, folder: Path, change: Callable[[Tensors], None]) -> Path:
    for file in base.path.iterdir():
        if file.suffix != ".safetensors":
            (folder / file.name).write_bytes(file.read_bytes())
    tensors = load_file(base.path / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def without(part: str) -> Callable[[Tensors], None]:
    return lambda tensors: tensors.__delitem__(f"{BROKEN}.{part}")


def other(part: str, value: torch.Tensor) -> Callable[[Tensors], None]:
    return lambda tensors: tensors.__setitem__(f"{BROKEN}.{part}", value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without("qzeros"), "qweight and scales and g_idx without qzeros"),
        (without("scales"), "qweight and qzeros and g_idx without scales"),
        (without("qweight"), "qzeros and scales and g_idx without qweight"),
        (
            other("qzeros", torch.zeros(3, 32, dtype=torch.int32)),
            "sizes that disagree, qweight I32[16, 256],",
        ),
        (
            other("qweight", torch.zeros(16, 100, dtype=torch.int32)),
            "sizes that disagree, qweight I32[16, 100]",
        ),
        (other("qweight", torch.zeros(16, 256)), "which are not codes in 4 bits"),
        (other("g_idx", torch.zeros(7, dtype=torch.int32)), "g_idx [7] for 128 columns"),
        (
            lambda tensors: tensors.update(
                {
                    f"{BROKEN}.qzeros": torch.zeros(8, 32, dtype=torch.int32),
                    f"{BROKEN}.scales": torch.zeros(8, 256),
                }
            ),
            "8 groups for rows of 128 numbers",
        ),
    ],
)
def test_parts_that_do_not_fit_together_are_named_from_the_headers_alone(
    bases: Callable[[str], Int4Base], tmp_path: Path, change: Callable[[Tensors], None], said: str
) -> None:
    folder = changed(bases("gptq"), tmp_path, change)
    for refusing in (
        read_base,
        lambda path: load_model(path, dtype="auto", device="cpu", max_running_requests=1),
    ):
        with pytest.raises(InvalidFile, match=rf"{re.escape(said)}.* in {re.escape(BROKEN)}") as caught:
            refusing(folder)
        assert "groups of 32, 64 or 128" in caught.value.hint


def test_scales_of_activations_are_not_passed_over(bases: Callable[[str], Int4Base], tmp_path: Path) -> None:
    """AutoAWQ divides what some families' activations make; a model that does not would answer wrongly."""
    name = "model.layers.0.mlp.act_fn"
    folder = changed(
        bases("awq"), tmp_path, lambda tensors: tensors.update({f"{name}.scales": torch.ones(256)})
    )
    with pytest.raises(InvalidFile, match=f"scales without qweight and qzeros in {name}"):
        load_model(folder, dtype="auto", device="cpu", max_running_requests=1)


def test_experts_are_named(bases: Callable[[str], Int4Base], tmp_path: Path) -> None:
    expert = "model.layers.1.mlp.experts.3.up_proj"

    def rename(tensors: Tensors) -> None:
        for part in ("qweight", "qzeros", "scales"):
            tensors[f"{expert}.{part}"] = tensors.pop(f"{BROKEN}.{part}")

    with pytest.raises(InvalidFile, match=f"an expert in 4 bits, which is not read in {expert}"):
        read_base(changed(bases("awq"), tmp_path, rename))


COLUMNS = torch.arange(128, dtype=torch.int32)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other("g_idx", COLUMNS // 16), "g_idx with group 4 of 4"),
        (other("g_idx", COLUMNS // 32 - 1), "g_idx with group -1 of 4"),
        (other("g_idx", COLUMNS // 64), "g_idx with groups of 0 to 64 columns"),
        (other("scales", torch.full((4, 256), torch.nan, dtype=torch.float16)), "NaN or infinite numbers"),
    ],
)
def test_numbers_that_cannot_be_are_named(
    bases: Callable[[str], Int4Base], tmp_path: Path, change: Callable[[Tensors], None], said: str
) -> None:
    with pytest.raises(InvalidFile, match=f"has {said} in {BROKEN}"):
        load_model(
            changed(bases("gptq"), tmp_path, change), dtype="auto", device="cpu", max_running_requests=1
        )


def test_a_head_in_4_bits_is_named(bases: Callable[[str], Int4Base], tmp_path: Path) -> None:
    def quantise_head(tensors: Tensors) -> None:
        parts, _ = written(KINDS["gptq"], tensors.pop("lm_head.weight")[:256].double().numpy(), 1)
        tensors |= {f"lm_head.{part}": torch.from_numpy(each) for part, each in parts.items()}

    with pytest.raises(InvalidFile, match="codes for Linear, which is served in 16 bits in lm_head"):
        load_model(
            changed(bases("gptq"), tmp_path, quantise_head),
            dtype="auto",
            device="cpu",
            max_running_requests=1,
        )


def test_codes_that_lie_otherwise_than_the_configuration_says_are_named(
    bases: Callable[[str], Int4Base], tmp_path: Path
) -> None:
    folder = changed(bases("awq"), tmp_path, lambda _tensors: None)
    file = folder / "config.json"
    config = json.loads(file.read_text()) | {"quantization_config": KINDS["gptq"].config()}
    file.write_text(json.dumps(config))
    with pytest.raises(InvalidFile, match=r"shape \(16, 2048\) in gptq where the model needs \(128, 256\)"):
        load_model(folder, dtype="auto", device="cpu", max_running_requests=1)
