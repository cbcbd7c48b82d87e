"""The effect of an adapter, measured with a real model: seen where there is one, and only there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tests.engine.test_engine_token_rows import train
from tests.engine.tiny_models import DEVICE, NATIVE, TinyModel, write_model

from remora.adapters.peft.base_shape import read_base
from remora.adapters.peft.inspect import inspect_adapter
from remora.engine.base import GenerationRequest, TokenStream
from remora.engine.effect import measure_effect
from remora.engine.torch.engine import TorchEngine
from remora.errors import EngineFailed, InvalidInput

EXAMPLE = Path(__file__).parents[2] / "examples" / "tone"
WEIGHTS = "adapter_model.safetensors"


@pytest.mark.parametrize(("factor", "proven"), [(1.0, True), (1e-6, False)])
async def test_an_effect_is_seen_where_there_is_one(tmp_path: Path, factor: float, proven: bool) -> None:
    source = EXAMPLE / "adapters" / "tone"
    (tmp_path / "adapter_config.json").write_bytes((source / "adapter_config.json").read_bytes())
    tensors = load_file(source / WEIGHTS)
    scaled = {n: t * np.float32(factor) if "lora_B" in n else t for n, t in tensors.items()}
    save_file(scaled, tmp_path / WEIGHTS)
    engine = TorchEngine.load(EXAMPLE / "base", device=DEVICE, native=NATIVE)
    try:
        adapter = inspect_adapter("tone", tmp_path, read_base(EXAMPLE / "base"))
        engine.load_adapter(adapter)
        effect = await measure_effect(engine, adapter.digest)
    finally:
        engine.close()
    assert effect.is_proven is proven
    assert effect.compared_positions >= effect.prompts == 4
    if proven:
        assert effect.mean_kl_nats > 0.01
        assert effect.changed_tokens > 0
    else:
        assert effect.changed_tokens == 0


async def test_two_adapters_have_effects_of_their_own(llama: TinyModel, engine: TorchEngine) -> None:
    one, two = (llama.adapters[name] for name in ("one", "two"))
    effects = []
    for adapter in (one, two):
        engine.load_adapter(adapter)
        effects.append(await measure_effect(engine, adapter.digest, answer_tokens=4))
    assert all(effect.is_proven for effect in effects)
    assert effects[0].mean_kl_nats != effects[1].mean_kl_nats


async def test_without_prompts_nothing_is_said_about_the_engine(
    llama: TinyModel, engine: TorchEngine
) -> None:
    engine.load_adapter(llama.adapters["one"])
    with pytest.raises(EngineFailed, match="no tokens of the prompts"):
        await measure_effect(engine, llama.adapters["one"].digest, [])


class Noting(TorchEngine):
    """Remembers what was answered, by adapter."""

    def submit(self, request: GenerationRequest) -> TokenStream:
        stream = super().submit(request)
        self.__dict__.setdefault("answered", []).append((request.adapter, request.prompt_ids))
        return stream


async def test_both_are_asked_the_tokens_of_the_adapter(tmp_path: Path) -> None:
    """Its conversations have tokens that the base has no row for, and its plain text has none."""
    base = write_model(tmp_path / "base", "llama")
    train(base, tmp_path / "resized", "resized")
    adapter = inspect_adapter("resized", tmp_path / "resized", read_base(base))
    engine = Noting.load(base, dtype="float32", device=DEVICE, native=NATIVE)
    try:
        engine.load_adapter(adapter)
        own = engine.tokenizer_of(adapter.digest)
        effect = await measure_effect(engine, adapter.digest, ["one"], answer_tokens=2)
        with pytest.raises(InvalidInput, match="token 261"):  # it is no text that the base could be asked
            await measure_effect(engine, adapter.digest, ["<|im_end|>"])
    finally:
        engine.close()
    plain = tuple(own.encode("one"))
    assert max(own.render_chat([{"role": "user", "content": "one"}])) >= 260 > max(plain)
    assert engine.__dict__["answered"] == [(None, plain), (adapter.digest, plain)]
    assert effect.is_proven
