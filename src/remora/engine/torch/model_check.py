"""Whether a model computes the same in our batches as alone. Owns the proof that `load` asks for."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch

from remora.engine.base import GenerationRequest, SamplingParams
from remora.engine.torch.attention import IMPLEMENTATION, UnsupportedAttention
from remora.engine.torch.lora import LoraSet
from remora.engine.torch.model import SlotModel
from remora.engine.torch.sampling import TokenSampler
from remora.engine.torch.scheduler import Chunk
from remora.engine.torch.sequence import Sequence
from remora.engine.torch.slots import SlotAllocator
from remora.errors import Refused

LAYER_TYPES = {"full_attention", "sliding_attention"}
TEXT_TOKENS = (7, 4)
FIRST_STEP_TOKENS = 3
ALLOWED_ERROR_SHARE = 1e-3  # float32
ALLOWED_ERROR_SHARE_ROUNDED = 0.1  # 16 bits or int8 weights; a token that sees a stranger is far beyond

logger = logging.getLogger(__name__)


@torch.inference_mode()
def answers_alone(model: Any) -> torch.Tensor:
    """The last logits of two short texts, each alone and whole, by the model's own attention and weights."""
    model.set_attn_implementation("eager")
    rows = [
        model(input_ids=torch.tensor([text], device=model.device), use_cache=False).logits[0, -1]
        for text in _texts(model)
    ]
    model.set_attn_implementation(IMPLEMENTATION)
    return torch.stack(rows).float()


@torch.inference_mode()
def check_forward(model: Any, lora: LoraSet, expected: torch.Tensor, path: Path) -> None:
    """Refuse a model that computes something else our way than alone: `expected` is from `answers_alone`.

    The texts go through it side by side and in pieces. What is caught: tokens that see anything but their own
    past, projections put together or packed wrongly. Native layers that differ are only left out.
    """
    exact = model.dtype == torch.float32 and lora.quantize == "none"
    allowed = ALLOWED_ERROR_SHARE if exact else ALLOWED_ERROR_SHARE_ROUNDED
    try:
        differs = _difference(model, lora, expected)
        if lora.library is not None and not differs <= allowed:
            logger.warning("native layers differ by %.1f%% for %s: its modules answer", 100 * differs, path)
            lora.library = None
            differs = _difference(model, lora, expected)
    except (UnsupportedAttention, TypeError) as error:
        raise unsupported(path, model.config, str(error)) from error
    if not differs <= allowed:
        raise unsupported(path, model.config, f"a forward pass that differs by {differs:.1%} in a batch")


def unsupported(path: Path, config: Any, what: str) -> Refused:
    """The error for a model that this engine does not run."""
    return Refused(
        f"the torch engine cannot run the {config.model_type} model in {path}: it has {what}",
        hint="use a decoder with full or sliding-window attention: Llama, Qwen, Mistral, Phi, Gemma 3 …",
    )


def _difference(model: Any, lora: LoraSet, expected: torch.Tensor) -> float:
    return float((_side_by_side(model, lora) - expected).norm() / expected.norm())


def _texts(model: Any) -> list[list[int]]:
    generator = torch.Generator().manual_seed(0)
    vocab_size = model.get_input_embeddings().weight.shape[0]
    return [torch.randint(vocab_size, (count,), generator=generator).tolist() for count in TEXT_TOKENS]


def _side_by_side(model: Any, lora: LoraSet) -> torch.Tensor:
    slots = SlotAllocator(2 * sum(TEXT_TOKENS))
    slot_model = SlotModel(model, lora, cache_tokens=slots.row_count, context_length=slots.row_count)
    sequences = [_sequence(text, slots) for text in _texts(model)]
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
