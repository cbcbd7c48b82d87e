"""Whether a model computes the same in our batches as alone. Owns the proof that `load` asks for."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from remora.adapters.adapter import Digest
from remora.engine.base import GenerationRequest, SamplingParams
from remora.engine.torch.cache.slots import SlotAllocator
from remora.engine.torch.layers.attention import UnsupportedAttention
from remora.engine.torch.layers.own_attention import attends_by_slots
from remora.engine.torch.layers.quantized import is_linear, matrix_of
from remora.engine.torch.lora.bank import LoraPair
from remora.engine.torch.model.adapter_reading import AdapterWeights
from remora.engine.torch.model.lora_manager import LoraSet
from remora.engine.torch.model.model import SlotModel
from remora.engine.torch.native.layers import in_one_place
from remora.engine.torch.sampling import TokenSampler
from remora.engine.torch.scheduling.scheduler import Chunk
from remora.engine.torch.scheduling.sequence import Sequence
from remora.errors import InvalidFile
from remora.project.architectures import OWN_ATTENTION, unsupported

TEXT_TOKENS = (7, 4)
FIRST_STEP_TOKENS = 3
ALLOWED_ERROR_SHARE = 1e-3  # float32
ALLOWED_ERROR_SHARE_ROUNDED = 0.1  # 16 bits or int8 weights; a token that sees a stranger is far beyond
PROOF_DIGEST = Digest("0" * 64)
PROOF_RANKS = (3, 16)  # in turns, since native code has a way for tiles and one for the rest
PROOF_COLUMNS_EVERY = 3
PROOF_STRENGTH = 0.1  # of what the layer itself makes: seen at the end, and far from drowning it
ADAPTER_SLACK = 2  # a random adapter amplifies what rounding does; one that is added wrongly is far beyond
NATIVE_THREADS = (1, 3, 16, 16)  # these must agree bit by bit: how columns are shared changes no sum

_KINDS: tuple[tuple[type[Exception], str, str], ...] = (  # what transformers raises, and what that means
    (TypeError, "unexpected keyword argument", "a forward pass that is not told which text a token is of"),
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Alone:
    """The last logits of the texts by the base, then with an adapter, each text alone; and that adapter."""

    logits: torch.Tensor
    pairs: Mapping[str, LoraPair]


@torch.inference_mode()
def answers_alone(model: Any, path: Path) -> Alone:
    """What two short texts get alone and whole, by the model's own weights and attention, not yet exchanged.

    Raises Refused where it cannot answer at all, InvalidFile where the answer is not numbers.
    """
    try:
        pairs = _proof_pairs(model)
        rows = _last_logits(model)
        with _added(model, pairs):
            rows += _last_logits(model)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # a model of transformers raises whatever its parts raise
        raise unsupported(path, model.config.model_type, why_it_cannot_run(error, model)) from error
    answers = torch.stack(rows).float()
    _check_numbers(model, answers, path)
    return Alone(answers, pairs)


@torch.inference_mode()
def check_forward(model: Any, lora: LoraSet, alone: Alone, path: Path) -> None:
    """Refuse a model that computes something else our way than alone: `alone` is from `answers_alone`.

    The texts go through it side by side and in pieces, with an adapter and without. What is caught: tokens
    that see anything but their own past, projections put together or packed wrongly, adapters added to the
    wrong columns. Native layers that differ, from the model or with the number of threads, are only left out.
    """
    exact = model.dtype == torch.float32 and lora.quantize == "none"
    allowed = ALLOWED_ERROR_SHARE if exact else ALLOWED_ERROR_SHARE_ROUNDED
    try:
        differs = _difference(model, lora, alone)
        if lora.library is not None and not differs <= allowed:
            logger.warning("native layers differ by %.1f%% for %s: its modules answer", 100 * differs, path)
            lora.library = None
            differs = _difference(model, lora, alone)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # as above
        raise unsupported(path, model.config.model_type, why_it_cannot_run(error, model)) from error
    if not differs <= allowed:
        what = f"a forward pass that differs by {differs:.1%} in a batch"
        raise unsupported(path, model.config.model_type, what)


def why_it_cannot_run(error: Exception, model: Any = None) -> str:
    """What a model has that does not run here, by the error that transformers ends with."""
    said = str(error).strip().partition("\n")[0]
    return known_reason(error, model) or f"a forward pass that fails ({type(error).__name__}: {said})"


def known_reason(error: Exception, model: Any = None) -> str:
    """As `why_it_cannot_run`; "" for an error that says nothing certain of the model.

    A loaded `model` can tell more: whether its attention was exchanged at all.
    """
    said = str(error).strip().partition("\n")[0]
    if isinstance(error, UnsupportedAttention):
        return said
    for kind, mark, what in _KINDS:
        if isinstance(error, kind) and mark in said:
            return what
    return "" if model is None or attends_by_slots(model) else OWN_ATTENTION


def _check_numbers(model: Any, answers: torch.Tensor, path: Path) -> None:
    """Weights that are not numbers would look like a model that computes something else."""
    if bool(answers.isfinite().all()):
        return
    broken = [name for name, each in model.named_parameters() if not bool(each.isfinite().all())]
    if broken:
        more = f" and {len(broken) - 1} more tensors" if len(broken) > 1 else ""
        raise InvalidFile(
            f"the base model in {path} holds NaN or infinite numbers in {broken[0]}{more}",
            hint="copy the base model again; if its training made them, use an earlier checkpoint",
        )
    raise InvalidFile(
        f"the base model in {path} answers with NaN or infinite numbers in {model.dtype}",
        hint='serve it with dtype = "float32" under [serve] in remora.toml',
    )


def _difference(model: Any, lora: LoraSet, alone: Alone) -> float:
    """The largest share by which rows differ from alone; infinite where threads make a difference."""
    pairs = dict(alone.pairs)
    placed = pairs if lora.library is None else in_one_place(pairs)
    lora.install(PROOF_DIGEST, AdapterWeights(placed, None, len(placed)))
    try:
        threads = (None,) if lora.library is None else NATIVE_THREADS
        made = [side_by_side(model, lora, native_threads=count) for count in threads]
    finally:
        lora.remove(PROOF_DIGEST)
        lora.forget_seats()
    if any(not torch.equal(other, made[0]) for other in made[1:]):
        return float("inf")
    half = len(made[0]) // 2
    shares = [
        float((made[0][rows] - alone.logits[rows]).norm() / alone.logits[rows].norm()) / slack
        for rows, slack in ((slice(half), 1), (slice(half, None), ADAPTER_SLACK))
    ]
    return float(torch.tensor(shares).max())  # which is no number where one of them is none


def _proof_pairs(model: Any) -> dict[str, LoraPair]:
    """A random adapter on all linear layers."""
    generator = torch.Generator().manual_seed(0)
    pairs = {}
    for index, (name, layer) in enumerate(_linears(model)):
        rank = PROOF_RANKS[index % len(PROOF_RANKS)]
        size = PROOF_STRENGTH * float(matrix_of(layer).float().std()) / rank**0.5
        a = torch.randn(rank, layer.in_features, generator=generator)
        b = torch.randn(rank, layer.out_features, generator=generator) * size
        columns = None
        if index % PROOF_COLUMNS_EVERY == 0:  # what DoRA and trained biases do
            gain = 1 + PROOF_STRENGTH * torch.randn(layer.out_features, generator=generator)
            columns = torch.stack([gain, PROOF_STRENGTH * torch.randn(len(gain), generator=generator)])
            columns = columns.to(layer.weight.device)
        pairs[name] = LoraPair(a.to(layer.weight), b.to(layer.weight), columns)
    return pairs


def _linears(model: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    return ((name, module) for name, module in model.named_modules() if is_linear(module))


@contextmanager
def _added(model: nn.Module, pairs: Mapping[str, LoraPair]) -> Iterator[None]:
    """While it lasts, linear layers add what their pair makes."""

    def adding(pair: LoraPair) -> Any:
        def add(_layer: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
            if pair.columns is not None:
                output = (output * pair.columns[0] + pair.columns[1]).to(output.dtype)
            return output + inputs[0] @ pair.a.t() @ pair.b

        return add

    hooks = [layer.register_forward_hook(adding(pairs[name])) for name, layer in _linears(model)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _last_logits(model: Any) -> list[torch.Tensor]:
    return [
        model(input_ids=torch.tensor([text], device=model.device), use_cache=False).logits[0, -1]
        for text in _texts(model)
    ]


def _texts(model: Any) -> list[list[int]]:
    generator = torch.Generator().manual_seed(0)
    vocab_size = model.get_input_embeddings().weight.shape[0]
    return [torch.randint(vocab_size, (count,), generator=generator).tolist() for count in TEXT_TOKENS]


def side_by_side(
    model: Any,
    lora: LoraSet,
    *,
    adapters: tuple[Digest | None, ...] = (None, PROOF_DIGEST),
    native_threads: int | None = None,
) -> torch.Tensor:
    """The last logits of the texts by the base, then with the adapter, all of them in the same steps."""
    slots = SlotAllocator(2 * 2 * sum(TEXT_TOKENS))
    slot_model = SlotModel(
        model,
        lora,
        cache_tokens=slots.row_count,
        context_length=slots.row_count,
        native_threads=native_threads,
    )
    sequences = [_sequence(text, adapter, slots) for adapter in adapters for text in _texts(model)]
    for sequence in sequences:
        sequence.is_long = len(sequence.tokens) > (slot_model.longest_short_text or len(sequence.tokens))
    first = [Chunk(sequence, 0, FIRST_STEP_TOKENS) for sequence in sequences]
    rest = [
        Chunk(sequence, FIRST_STEP_TOKENS, len(sequence.tokens) - FIRST_STEP_TOKENS) for sequence in sequences
    ]
    slot_model.forward(slot_model.arranged(first))
    if not slot_model.has_attended:
        raise UnsupportedAttention(OWN_ATTENTION)
    return slot_model.forward(slot_model.arranged(rest)).float().clone()


def _sequence(text: list[int], adapter: Digest | None, slots: SlotAllocator) -> Sequence:
    params = SamplingParams(max_tokens=1, temperature=0)
    request = GenerationRequest("check", tuple(text), params, adapter=adapter)
    sequence = Sequence(request, deliver=lambda _event: False, sampler=TokenSampler(params))
    sequence.slot = slots.reserve(sequence.most_tokens)
    return sequence
