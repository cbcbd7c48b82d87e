"""16-bit and int8 answers against PEFT in float32: another token only where two nearly tie."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from tests.engine.tiny_models import DEVICE, TinyModel, a_request, read

from remora.engine.torch.engine import TorchEngine

ANSWER_TOKENS = 30
VOCABULARY = 260
PROMPTS = ([3, 1, 4], [(11 * index) % 250 for index in range(50)])


@dataclass(frozen=True)
class Distance:
    """Of an answer's distributions from the reference's, at the answer's own tokens."""

    divergence: float  # mean KL(reference, engine) in nats
    greatest_gap: float  # by how much the reference prefers its own token to the one that was chosen, in nats


@pytest.mark.parametrize(
    ("dtype", "quantize", "divergence", "gap"),
    [
        ("float32", "none", 1e-6, 1e-4),
        ("bfloat16", "none", 0.01, 0.4),
        ("float32", "int8", 0.02, 0.6),
        ("bfloat16", "int8", 0.03, 0.6),
    ],
)
@pytest.mark.parametrize("native", ["auto", "never"])
async def test_other_precisions_differ_only_where_two_tokens_nearly_tie(
    llama: TinyModel, *, dtype: str, quantize: str, divergence: float, gap: float, native: str
) -> None:
    engine = TorchEngine.load(llama.path, dtype=dtype, quantize=quantize, device=DEVICE, native=native)
    for adapter in llama.adapters.values():
        engine.load_adapter(adapter)
    distances = [await distance(engine, llama, name, prompt) for name in (None, "two") for prompt in PROMPTS]
    engine.close()
    assert max(d.divergence for d in distances) < divergence
    assert max(d.greatest_gap for d in distances) < gap


async def distance(engine: TorchEngine, model: TinyModel, name: str | None, prompt: list[int]) -> Distance:
    adapter = model.adapters[name] if name else None
    request = a_request(prompt, adapter=adapter, max_tokens=ANSWER_TOKENS, top_logprobs=VOCABULARY)
    events = await read(engine, request)
    tokens = [event.token_id for event in events]
    reference = model.logprobs(name, prompt, tokens)
    got = torch.empty_like(reference)
    for row, event in enumerate(events):
        ids, logprobs = zip(*event.top_logprobs, strict=True)
        got[row, list(ids)] = torch.tensor(logprobs)
    chosen = reference[torch.arange(len(tokens)), torch.tensor(tokens)]
    return Distance(
        divergence=float((reference.exp() * (reference - got)).sum(-1).mean()),
        greatest_gap=float((reference.max(-1).values - chosen).max()),
    )
