"""Whether a model computes the same in our batches as alone. Owns the proof that `load` asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from remora.engine.base import GenerationRequest, SamplingParams
from remora.engine.torch.attention import IMPLEMENTATION, UnsupportedAttention
from remora.engine.torch.kv_cache import SlotAllocator
from remora.engine.torch.model import SlotModel
from remora.engine.torch.sampling import TokenSampler
from remora.engine.torch.scheduler import Chunk
from remora.engine.torch.sequence import Sequence
from remora.errors import Refused

LAYER_TYPES = {"full_attention", "sliding_attention"}
TEXT_TOKENS = (7, 4)
FIRST_STEP_TOKENS = 3
ALLOWED_ERROR_SHARE = {torch.float32: 1e-3}
ALLOWED_ERROR_SHARE_HALF = 0.1  # two paths of 16-bit rounding; a token that sees a stranger is far beyond


def check_forward(model: Any, path: Path) -> None:
    """Refuse a model whose tokens see anything but their own past when computed our way.

    Two short texts go through it side by side and in pieces, then each alone and whole.
    """
    generator = torch.Generator().manual_seed(0)
    vocab_size = model.get_input_embeddings().weight.shape[0]
    texts = [torch.randint(vocab_size, (count,), generator=generator).tolist() for count in TEXT_TOKENS]
    with torch.inference_mode():
        expected = _alone(model, texts)
        try:
            got = _side_by_side(model, texts)
        except (UnsupportedAttention, TypeError) as error:
            raise unsupported(path, model.config, str(error)) from error
    error_share = float((got - expected).norm() / expected.norm())
    if not error_share <= ALLOWED_ERROR_SHARE.get(model.dtype, ALLOWED_ERROR_SHARE_HALF):
        raise unsupported(path, model.config, f"a forward pass that differs by {error_share:.1%} in a batch")


def unsupported(path: Path, config: Any, what: str) -> Refused:
    """The error for a model that this engine does not run."""
    return Refused(
        f"the torch engine cannot run the {config.model_type} model in {path}: it has {what}",
        hint="use a decoder with full or sliding-window attention: Llama, Qwen, Mistral, Phi, Gemma 3 …",
    )


def _alone(model: Any, texts: list[list[int]]) -> torch.Tensor:
    model.set_attn_implementation("eager")
    rows = [
        model(input_ids=torch.tensor([text], device=model.device), use_cache=False).logits[0, -1]
        for text in texts
    ]
    model.set_attn_implementation(IMPLEMENTATION)
    return torch.stack(rows).float()


def _side_by_side(model: Any, texts: list[list[int]]) -> torch.Tensor:
    slots = SlotAllocator(2 * sum(TEXT_TOKENS))
    slot_model = SlotModel(model, cache_tokens=slots.row_count, context_length=slots.row_count)
    sequences = [_sequence(text, slots) for text in texts]
    slot_model.forward([Chunk(sequence, 0, FIRST_STEP_TOKENS) for sequence in sequences])
    rest = [
        Chunk(sequence, FIRST_STEP_TOKENS, len(sequence.tokens) - FIRST_STEP_TOKENS) for sequence in sequences
    ]
    return slot_model.forward(rest).float()


def _sequence(text: list[int], slots: SlotAllocator) -> Sequence:
    params = SamplingParams(max_tokens=1, temperature=0)
    request = GenerationRequest("check", tuple(text), params)
    sequence = Sequence(request, deliver=lambda _event: False, sampler=TokenSampler(params))
    sequence.slot = slots.reserve(sequence.most_tokens)
    return sequence
