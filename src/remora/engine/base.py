"""The contract that every engine keeps. Owns requests, events and promises; runs nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from remora.adapters.adapter import Adapter, AppliedAdapter, Digest
from remora.errors import InvalidInput


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
    """How the next token is chosen. `temperature` 0 is greedy, and one below 1e-30
    counts as that; `top_k` 0, `top_p` 1 and `min_p` 0 switch those off, and `top_p` 0 leaves one token.

    Order of operations: the constraint's mask, `logit_bias` and the penalties, then temperature, min_p,
    top_k, top_p and one draw from the request's own random generator (seeded by `seed`, or from the system
    when None), so a request's answer does not depend on what else is in the batch.

    The penalties are OpenAI's: a token that the answer (not the prompt) already has c times loses
    c · frequency_penalty + presence_penalty from its logit. `logit_bias` is added to the logits of its ids.
    Before them, `repetition_penalty` divides the positive logits of tokens that prompt or answer have, and
    multiplies the negative ones, as in transformers. `min_p` drops what is less likely than that part of the
    likeliest. No stop token is chosen before there are `min_tokens`.

    `top_logprobs` None gives no log-probabilities; n ≥ 0 gives that of the chosen token and of the n
    likeliest. They are the model's own, before all of the above: natural logarithms of the softmax, float32.
    `prompt_logprobs` asks the same of each token of the prompt but the first, which nothing comes before; the
    first event brings them. With it `max_tokens` may be 0: then the stream has one event, whose token is no
    part of an answer.
    """

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    repetition_penalty: float = 1.0
    min_tokens: int = 0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    top_logprobs: int | None = None
    prompt_logprobs: int | None = None


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
    trained. `adapter_without_layer` is a layer whose update is left out; layers are counted from 0, as in the
    names of the adapter's tensors. What is kept between requests by adapter must be kept by these two too.
    """

    request_id: str
    prompt_ids: tuple[int, ...]
    sampling: SamplingParams
    adapter: Digest | None = None
    stop_token_ids: frozenset[int] = frozenset()
    adapter_scale: float = 1.0
    adapter_without_layer: int | None = None
    constraint: Constraint | None = None


@dataclass(frozen=True, slots=True)
class TokenScore:
    """How likely a token of the prompt was after those before it; rank 1 is the likeliest of all.

    `top` are the likeliest, each an id and its log-probability.
    """

    token_id: int
    logprob: float
    rank: int
    top: tuple[tuple[int, float], ...] = ()


class TokenEvent(NamedTuple):  # one for every token: a frozen dataclass takes three times as long to make
    """One generated token. The last event of a stream has a `finish_reason`.

    A token of `stop_token_ids` is delivered with FinishReason.STOP, and is not part of the text.
    `logprob` and `top_logprobs` (id and log-probability, likeliest first) as the sampling parameters ask.
    The first event says how many tokens of the prompt an earlier request had computed already, and has the
    scores of the prompt's tokens, from the second on, where they were asked for.
    """

    token_id: int
    finish_reason: FinishReason | None = None
    logprob: float | None = None
    top_logprobs: tuple[tuple[int, float], ...] = ()
    reused_prompt_tokens: int = 0
    prompt_scores: tuple[TokenScore, ...] = ()


def check_ids(name: str, token_ids: Iterable[int], token_count: int) -> None:
    """Raises InvalidInput, naming the field, where a request names an id that its model does not have."""
    unknown = next((token_id for token_id in token_ids if not 0 <= token_id < token_count), None)
    if unknown is not None:
        raise InvalidInput(f"{name} names token {unknown}, but the model has only {token_count}", param=name)


def check_has_update(request: GenerationRequest) -> None:
    """Raises InvalidInput where the base model is asked to answer without one layer's update: it has none."""
    if request.adapter is None and request.adapter_without_layer is not None:
        raise InvalidInput(
            "the base model has no adapter whose layer could be switched off",
            hint="leave adapter_without_layer out, or name an adapter as the model",
            param="adapter_without_layer",
        )


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
    `steps` is None where only somebody else could count them. `drafted_tokens` were computed as guesses at
    what an answer says next, and `accepted_tokens` of them were right: those are part of `generated_tokens`.
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
    drafted_tokens: int = 0
    accepted_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Stack:
    """What an answer is computed with. Equal stacks give equal greedy answers to equal questions.

    `engine` is name and version ("torch 2.9.0"), `dtype` the number format ("float32"), `device` the kind of
    processor, not which one of that kind.
    """

    engine: str
    dtype: str
    device: str


@dataclass(frozen=True, slots=True)
class ThoughtMarks:
    """What a model writes before and after its thoughts, which come before its answer."""

    open: str
    close: str


class Tokenizer(Protocol):
    """Text to ids and back, as a model's own tokenizer does it."""

    @property
    def info(self) -> Mapping[str, Any]:
        """What a client needs to work with it itself: its class, special tokens and `chat_template`."""

    @property
    def stop_token_ids(self) -> frozenset[int]:
        """Ids that end an answer (end of sequence, end of turn)."""

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """Ids of plain text, with the tokenizer's own special tokens (as for a completion prompt) or not."""

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """Text of ids, special tokens left out or not; an unfinished UTF-8 sequence ends in U+FFFD."""

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that this one token stands for; of a special token, those of its name."""

    def constrain(self, grammar: str) -> Constraint:
        """Compile a grammar (llguidance's notation) for this vocabulary. Slow: keep it off the event loop.

        Raises InvalidInput, without a `param`, where it is no grammar or too large a one.
        """

    @property
    def tool_format(self) -> ToolFormat | None:
        """How the model's chat template teaches it to call tools; None where it knows none."""

    @property
    def thought_marks(self) -> ThoughtMarks | None:
        """The marks around thoughts that the chat template knows; None where it knows none."""

    @property
    def template_names(self) -> frozenset[str]:
        """The names in the chat template: a variable that is not among them changes nothing."""

    def render_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] = (),
        variables: Mapping[str, Any] = MappingProxyType({}),
        *,
        continued: bool = False,
    ) -> list[int]:
        """Ids of a conversation in the model's chat template, ready for the assistant's turn.

        `continued` leaves the last turn, which is the assistant's, open behind its text.

        Messages have role and content, and may have a name, reasoning_content, tool_calls (their arguments an
        object) or a tool_call_id. Tools are OpenAI's function tools, for a template that has a `tool_format`.
        `variables` are more of what the template reads, such as `enable_thinking`.
        Raises InvalidInput where the template refuses the conversation.
        """


class Engine(Protocol):
    """Continuous batching over one base model; every request may use a different adapter."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The base model's tokenizer."""

    def tokenizer_of(self, adapter: Digest | None) -> Tokenizer:
        """The tokenizer that an adapter was trained with: its own, else the base model's; None is the base.

        Prompts, answers and grammars of requests with this adapter are in its tokens.
        Raises ModelNotFound where the adapter is not loaded.
        """

    @property
    def context_length(self) -> int:
        """The most tokens of prompt and answer together."""

    @property
    def stack(self) -> Stack:
        """What this engine computes with."""

    def load_adapter(self, adapter: Adapter) -> AppliedAdapter:
        """Apply an adapter and say what was applied; loading a digest twice is a no-op.

        Raises AdapterRejected where a tensor fits no module of the base model, and LoadFailed where something
        else goes wrong, such as memory that is short; then nothing changed.
        """

    def unload_adapter(self, digest: Digest) -> None:
        """Forget an adapter; an unknown digest is a no-op. Requests that use it finish first."""

    def submit(self, request: GenerationRequest) -> TokenStream:
        """Queue a request and return its stream at once.

        Raises ContextLengthExceeded, ModelNotFound (an adapter that is not loaded), EngineFailed, or
        InvalidInput where `logit_bias` names an id that the model does not have, or `adapter_without_layer` a
        layer without an update, and UnsupportedParameter for what this engine cannot do.
        Call from a running event loop; the stream belongs to that loop.
        """

    def stats(self) -> EngineStats:
        """Counters since start; cheap and safe from any thread."""

    def close(self) -> None:
        """Stop the engine; running streams raise EngineFailed. Closing twice is a no-op."""
