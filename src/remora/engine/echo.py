"""A scripted, deterministic engine for tests of everything above the engine. Loads no model.

The answer to a prompt is the text of its last line, one token a character; where an adapter is in use,
after its short digest and a colon (at a scale other than 1: `digest*scale:`, without a layer's update:
`digest-layer3:`). Where the request has a constraint that this answer breaks, the answer is one that ends
soon. Log-probabilities are made up, but fixed; biases and penalties change nothing. `hold()` freezes
generation, so that a test can look at a request in flight without sleeping. With `tokens_per_second` every
stream keeps that pace, and catches up when late.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from llguidance import LLTokenizer

from remora.adapters.adapter import Adapter, AppliedAdapter, Digest, short
from remora.engine.base import (
    EngineStats,
    FinishReason,
    GenerationRequest,
    Stack,
    ThoughtMarks,
    TokenEvent,
    TokenScore,
    TokenStream,
    ToolFormat,
    check_has_update,
    check_ids,
)
from remora.engine.text.grammar import GrammarConstraint, compile_grammar
from remora.errors import ContextLengthExceeded, EngineFailed, ModelNotFound

END_OF_TEXT = 0x110000  # the first id that is no character
END_TEXT = "<|end|>"
SURROGATES = range(0xD800, 0xE000)  # halves of characters, which no text can have
BYTE_END = LLTokenizer("byte").eos_token
CHOSEN_LOGPROB = -0.25
# Of the bytes that a grammar of JSON allows the first of these is taken: whatever ends something comes first.
ENDS_FIRST = b'}]",:{[0'
ENDS_STRING_FIRST = b'"x'


class EchoTokenizer:
    """One token a character: the id is the code point."""

    info: Mapping[str, Any] = MappingProxyType({"tokenizer_class": "EchoTokenizer", "eos_token": END_TEXT})
    stop_token_ids = frozenset({END_OF_TEXT})
    tool_format: ToolFormat | None = ToolFormat.HERMES
    thought_marks: ThoughtMarks | None = None
    template_names: frozenset[str] = frozenset()

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        del add_special_tokens  # there are none but the end
        return [ord(character) for character in text]

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        if skip_special_tokens:
            return "".join(map(_character, ids))
        return "".join(END_TEXT if each >= END_OF_TEXT else _character(each) for each in ids)

    def token_bytes(self, token_id: int) -> bytes:
        return self.decode([token_id]).encode(errors="replace")

    def constrain(self, grammar: str) -> GrammarConstraint:
        """One over the bytes of the text, not over the ids: what the echo engine expects."""
        return compile_grammar(LLTokenizer("byte"), grammar)

    def render_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] = (),
        variables: Mapping[str, Any] = MappingProxyType({}),
        *,
        continued: bool = False,
    ) -> list[int]:
        """Tools and variables are not told to a model that is none; every turn ends behind its text."""
        del tools, variables, continued
        return self.encode("\n".join(f"{message['role']}: {message['content']}" for message in messages))


def _character(token_id: int) -> str:
    if token_id >= END_OF_TEXT:
        return ""
    return "\ufffd" if token_id in SURROGATES else chr(token_id)


class EchoEngine:
    """Keeps the Engine contract without a model."""

    def __init__(
        self,
        *,
        context_length: int = 4096,
        script: Mapping[str, str] | None = None,
        tokens_per_second: float | None = None,
    ) -> None:
        self.tokenizer = EchoTokenizer()
        self.context_length = context_length
        self.stack = Stack("echo", "none", "none")
        self.script = dict(script or {})
        self._token_seconds = 1 / tokens_per_second if tokens_per_second else 0.0
        self._adapters: dict[Digest, Adapter] = {}
        self._free = asyncio.Event()
        self._free.set()
        self._alive = True
        self._running = self._steps = self._cancelled = 0

    def hold(self) -> None:
        """Freeze all streams before their next token."""
        self._free.clear()

    def release(self) -> None:
        """Let the streams go on."""
        self._free.set()

    def tokenizer_of(self, adapter: Digest | None) -> EchoTokenizer:
        """One for all: without a model there is nothing to be trained with."""
        if adapter is not None and adapter not in self._adapters:
            raise ModelNotFound(f"no adapter with digest {adapter} is loaded")
        return self.tokenizer

    def load_adapter(self, adapter: Adapter) -> AppliedAdapter:
        self._adapters[adapter.digest] = adapter
        return AppliedAdapter(adapter.digest, modules=len(adapter.modules), parameters=0)

    def unload_adapter(self, digest: Digest) -> None:
        self._adapters.pop(digest, None)

    def submit(self, request: GenerationRequest) -> TokenStream:
        if not self._alive:
            raise EngineFailed("the engine has stopped")
        if request.adapter is not None and request.adapter not in self._adapters:
            raise ModelNotFound(f"no adapter with digest {request.adapter} is loaded")
        if len(request.prompt_ids) + request.sampling.max_tokens > self.context_length:
            raise ContextLengthExceeded(f"{len(request.prompt_ids)} prompt tokens do not fit")
        check_ids("stop_token_ids", request.stop_token_ids - {END_OF_TEXT}, END_OF_TEXT)
        check_has_update(request)
        return self._generate(request)

    def stats(self) -> EngineStats:
        return EngineStats(
            alive=self._alive,
            running_requests=self._running,
            queued_requests=0,
            generated_tokens=self._steps,
            steps=self._steps,
            cancelled_requests=self._cancelled,
            adapters=tuple(self._adapters),
        )

    def close(self) -> None:
        self._alive = False

    def _answer(self, request: GenerationRequest) -> list[int]:
        last = self.tokenizer.decode(request.prompt_ids).rsplit("\n", 1)[-1].removeprefix("user: ")
        text = self.script.get(last, last)
        if request.adapter is not None:
            scale = "" if request.adapter_scale == 1 else f"*{request.adapter_scale:g}"
            left_out = request.adapter_without_layer
            layer = "" if left_out is None else f"-layer{left_out}"
            text = f"{short(request.adapter)}{scale}{layer}:{text}"
        if isinstance(request.constraint, GrammarConstraint):
            text = _keeping(request.constraint, text, request.sampling.max_tokens)
        ids = self.tokenizer.encode(text)
        # Kept from ending it goes on with spaces, as long as it must.
        limit = request.sampling.max_tokens
        least = limit if END_OF_TEXT not in request.stop_token_ids else request.sampling.min_tokens
        return [*ids, *[ord(" ")] * (least - len(ids)), END_OF_TEXT]

    async def _generate(self, request: GenerationRequest) -> AsyncGenerator[TokenEvent]:
        self._running += 1
        done, minimum = False, request.sampling.min_tokens
        started_at = time.monotonic()
        try:
            for count, token_id in enumerate(self._answer(request), start=1):
                await self._free.wait()
                await self._pace(started_at + count * self._token_seconds)
                self._steps += 1
                reason = None
                if token_id in request.stop_token_ids and count > minimum:
                    reason = FinishReason.STOP
                elif count >= request.sampling.max_tokens:
                    reason = FinishReason.LENGTH
                done = reason is not None
                yield _event(request, token_id, reason, first=count == 1)
                if done:
                    return
        finally:
            self._running -= 1
            self._cancelled += not done

    async def _pace(self, due_at: float) -> None:
        if not self._token_seconds:
            await asyncio.sleep(0)
        elif (early_seconds := due_at - time.monotonic()) > 0:
            await asyncio.sleep(early_seconds)


def _event(
    request: GenerationRequest, token_id: int, reason: FinishReason | None, *, first: bool
) -> TokenEvent:
    wanted, scored = request.sampling.top_logprobs, request.sampling.prompt_logprobs
    scores: tuple[TokenScore, ...] = ()
    if first and scored is not None:
        scores = tuple(
            TokenScore(scored_id, CHOSEN_LOGPROB, 1, _likeliest(scored_id, scored))
            for scored_id in request.prompt_ids[1:]
        )
    if wanted is None:
        return TokenEvent(token_id, reason, prompt_scores=scores)
    return TokenEvent(token_id, reason, CHOSEN_LOGPROB, _likeliest(token_id, wanted), prompt_scores=scores)


def _likeliest(token_id: int, count: int) -> tuple[tuple[int, float], ...]:
    """The token itself, and those after it."""
    others = [(token_id + index) % END_OF_TEXT for index in range(1, count)]
    top = [(token_id, CHOSEN_LOGPROB), *((other, -2.0 - rank) for rank, other in enumerate(others))]
    return tuple(top[:count])


def _keeping(constraint: GrammarConstraint, text: str, most_bytes: int) -> str:
    """The text itself where the grammar allows it, else the one that ends soonest."""
    whole = list(text.encode())
    if constraint.accepted([*whole, BYTE_END]) > len(whole):
        return text
    out = bytearray()
    while len(out) < most_bytes:
        allowed = _allowed(constraint.mask())
        wishes = ENDS_STRING_FIRST if out.count(b'"') % 2 else ENDS_FIRST
        chosen = next((byte for byte in (BYTE_END, *wishes, *sorted(allowed)) if byte in allowed), BYTE_END)
        if chosen == BYTE_END:
            break
        out.append(chosen)
        if constraint.advance(chosen):
            break
    return out.decode(errors="ignore")


def _allowed(mask: bytes) -> set[int]:
    return {bit for bit in range(len(mask) * 8) if mask[bit // 8] >> (bit % 8) & 1}
