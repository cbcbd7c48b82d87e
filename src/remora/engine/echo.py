"""A scripted, deterministic engine for tests of everything above the engine. Loads no model.

The answer to a prompt is the text of its last line, one token a character; where an adapter is in use,
after its short digest and a colon. `hold()` freezes generation, so that a test can look at a request in
flight without sleeping.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence

from remora.adapters.adapter import Adapter, AppliedAdapter, Digest, short
from remora.engine.base import (
    EngineStats,
    FinishReason,
    GenerationRequest,
    Stack,
    TokenEvent,
    TokenStream,
)
from remora.errors import ContextLengthExceeded, EngineFailed, ModelNotFound

END_OF_TEXT = 0x110000  # the first id that is no character


class EchoTokenizer:
    """One token a character: the id is the code point."""

    stop_token_ids = frozenset({END_OF_TEXT})

    def encode(self, text: str) -> list[int]:
        return [ord(character) for character in text]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(chr(token_id) for token_id in ids if token_id < END_OF_TEXT)

    def render_chat(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        return self.encode("\n".join(f"{message['role']}: {message['content']}" for message in messages))


class EchoEngine:
    """Keeps the Engine contract without a model."""

    def __init__(self, *, context_length: int = 4096, script: Mapping[str, str] | None = None) -> None:
        self.tokenizer = EchoTokenizer()
        self.context_length = context_length
        self.stack = Stack("echo", "none", "none")
        self._script = dict(script or {})
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
        text = self._script.get(last, last)
        if request.adapter is not None:
            text = f"{short(request.adapter)}:{text}"
        return [*self.tokenizer.encode(text), END_OF_TEXT]

    async def _generate(self, request: GenerationRequest) -> AsyncGenerator[TokenEvent]:
        self._running += 1
        done = False
        try:
            for count, token_id in enumerate(self._answer(request), start=1):
                await self._free.wait()
                await asyncio.sleep(0)
                self._steps += 1
                reason = None
                if token_id in request.stop_token_ids:
                    reason = FinishReason.STOP
                elif count >= request.sampling.max_tokens:
                    reason = FinishReason.LENGTH
                done = reason is not None
                yield TokenEvent(token_id, reason)
                if done:
                    return
        finally:
            self._running -= 1
            self._cancelled += not done
