"""The contract that every engine keeps. Owns requests, events and promises; runs nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from remora.adapters.adapter import Adapter, AppliedAdapter, Digest


class FinishReason(StrEnum):
    """Why a generation ended, in OpenAI's words."""

    STOP = "stop"
    LENGTH = "length"


class ToolFormat(StrEnum):
    """How a model writes a call.

    HERMES: `<tool_call>{"name": …, "arguments": …}</tool_call>`, in text or alone, any number (Hermes, Qwen).
    LLAMA: the whole answer is `{"name": …, "parameters": …}` (Llama 3).
    MISTRAL: the whole answer is `[TOOL_CALLS][{"name": …, "arguments": …}, …]`, where the mark is mostly a
        special token, which no text shows; its template refuses ids of calls but of 9 letters or digits.
    UNKNOWN: in a way that is passed on as text.
    """

    HERMES = "hermes"
    LLAMA = "llama"
    MISTRAL = "mistral"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How the next token is chosen. `temperature` 0 is greedy; `top_k` 0 and `top_p` 1 switch those off.

    Order of operations: the constraint's mask, `logit_bias` and the penalties, then temperature, top_k, top_p
    and one draw from the request's own random generator (seeded by `seed`, or from the system when None), so
    a request's answer does not depend on what else is in the batch.

    The penalties are OpenAI's: a token that the answer (not the prompt) already has c times loses
    c · frequency_penalty + presence_penalty from its logit. `logit_bias` is added to the logits of its ids.

    `top_logprobs` None gives no log-probabilities; n ≥ 0 gives that of the chosen token and of the n
    likeliest. They are the model's own, before all of the above: natural logarithms of the softmax, float32.
    """

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    top_logprobs: int | None = None


class Constraint(Protocol):
    """What one answer may be, token by token. Belongs to one request; for one thread at a time."""

    @property
    def grammar(self) -> str:
        """What it was made of, in llguidance's notation: for an engine that has no use for masks."""

    def copy(self) -> Constraint:
        """One of its own for another answer, at the beginning."""

    def mask(self) -> bytes:
        """One bit for each id, the lowest bit of a byte first: set where it may come next.

        Ids that the mask has no bit for may not come. Where the answer may end, a stop token is among those
        that may. Raises InvalidInput where the grammar turns out to be too expensive.
        """

    def advance(self, token_id: int) -> bool:
        """Take the token that was chosen; True where the answer is complete and nothing can follow."""


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """Prompt ids in, with the adapter (None is the base model) and the ids that end the answer.

    `adapter_scale` (0 … 1.5) multiplies what the adapter adds: 0 answers as the base does, 1 as it was
    trained. Whatever is kept between requests by their adapter must be kept by its scale too.
    """

    request_id: str
    prompt_ids: tuple[int, ...]
    sampling: SamplingParams
    adapter: Digest | None = None
    stop_token_ids: frozenset[int] = frozenset()
    adapter_scale: float = 1.0
    constraint: Constraint | None = None


@dataclass(frozen=True, slots=True)
class TokenEvent:
    """One generated token. The last event of a stream has a `finish_reason`.

    A token of `stop_token_ids` is delivered with FinishReason.STOP; whoever makes text leaves it out.
    `logprob` and `top_logprobs` (id and log-probability, likeliest first) as the sampling parameters ask.
    The first event says how many tokens of the prompt an earlier request had computed already.
    """

    token_id: int
    finish_reason: FinishReason | None = None
    logprob: float | None = None
    top_logprobs: tuple[tuple[int, float], ...] = ()
    reused_prompt_tokens: int = 0


class TokenStream(Protocol):
    """Async iterator of TokenEvent. Closing it cancels the request within one engine step."""

    def __aiter__(self) -> AsyncIterator[TokenEvent]:
        """The stream itself."""

    async def __anext__(self) -> TokenEvent:
        """The next token, as soon as it is known. Raises EngineFailed where the engine stopped."""

    async def aclose(self) -> None:
        """Cancel if still running; closing twice, or after the end, is a no-op."""


@dataclass(frozen=True, slots=True)
class EngineStats:
    """A snapshot for `/readyz`, `/metrics` and tests.

    Of `kv_tokens_total` tokens of key/value cache `kv_tokens_used` are reserved; 0 of 0 where there is none.
    `steps` is None where only somebody else could count them.
    """

    alive: bool
    running_requests: int
    queued_requests: int
    generated_tokens: int
    steps: int | None
    cancelled_requests: int
    adapters: tuple[Digest, ...]
    kv_tokens_used: int = 0
    kv_tokens_total: int = 0


@dataclass(frozen=True, slots=True)
class Stack:
    """What an answer is computed with. Equal stacks give equal greedy answers to equal questions.

    `engine` is name and version ("torch 2.9.0"), `dtype` the number format ("float32"), `device` the kind of
    processor, not which one of that kind.
    """

    engine: str
    dtype: str
    device: str


class Tokenizer(Protocol):
    """Text to ids and back, as the base model's own tokenizer does it."""

    @property
    def stop_token_ids(self) -> frozenset[int]:
        """Ids that end an answer (end of sequence, end of turn)."""

    def encode(self, text: str) -> list[int]:
        """Ids of plain text, with the tokenizer's own special tokens (as for a completion prompt)."""

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids, special tokens left out; an unfinished UTF-8 sequence ends in U+FFFD."""

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that this one token stands for; of a special token, those of its name."""

    def constrain(self, grammar: str) -> Constraint:
        """Compile a grammar (llguidance's notation) for this vocabulary. Slow: keep it off the event loop.

        Raises InvalidInput, without a `param`, where it is no grammar or too large a one.
        """

    @property
    def tool_format(self) -> ToolFormat | None:
        """How the model's chat template teaches it to call tools; None where it knows none."""

    def render_chat(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()
    ) -> list[int]:
        """Ids of a conversation in the model's chat template, ready for the assistant's turn.

        Messages have role and content, and may have tool_calls (their arguments an object) or a tool_call_id.
        Tools are OpenAI's function tools, for a template that has a `tool_format`.
        Raises InvalidInput where the template refuses the conversation.
        """


class Engine(Protocol):
    """Continuous batching over one base model; every request may use a different adapter."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The base model's tokenizer."""

    @property
    def context_length(self) -> int:
        """The most tokens of prompt and answer together."""

    @property
    def stack(self) -> Stack:
        """What this engine computes with."""

    def load_adapter(self, adapter: Adapter) -> AppliedAdapter:
        """Apply an adapter and say what was applied; loading a digest twice is a no-op.

        Raises AdapterRejected where a tensor fits no module of the base model; then nothing changed.
        """

    def unload_adapter(self, digest: Digest) -> None:
        """Forget an adapter; an unknown digest is a no-op. Requests that use it finish first."""

    def submit(self, request: GenerationRequest) -> TokenStream:
        """Queue a request and return its stream at once.

        Raises ContextLengthExceeded, ModelNotFound (an adapter that is not loaded), EngineFailed, or
        InvalidInput where `logit_bias` names an id that the model does not have.
        Call from a running event loop; the stream belongs to that loop.
        """

    def stats(self) -> EngineStats:
        """Counters since start; cheap and safe from any thread."""

    def close(self) -> None:
        """Stop the engine; running streams raise EngineFailed. Closing twice is a no-op."""
