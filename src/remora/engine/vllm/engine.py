"""Keeps the Engine contract with vLLM. Owns requests in flight and which adapters vLLM has."""

from __future__ import annotations

import json
import os
import ssl
import sys
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

import httpx

from remora.adapters.adapter import Adapter, AppliedAdapter, Digest
from remora.adapters.peft.engine_limits import check_engine_limits
from remora.engine.base import EngineStats, GenerationRequest, Stack, TokenEvent, Tokenizer
from remora.engine.loaded import LoadedAdapters
from remora.engine.text.adapter_text import AdapterTokenizers
from remora.engine.vllm.child import ChildSettings, VllmChild, vllm_program
from remora.engine.vllm.wire import events_of, request_body
from remora.errors import (
    AdapterRejected,
    ContextLengthExceeded,
    EngineFailed,
    InvalidInput,
    Overloaded,
    UnsupportedParameter,
)

CONTEXT_TOKENS = 4096  # where the configuration does not say


class VllmEngine:
    """One `vllm serve`, adapters by digest. An adapter goes when its last request has ended."""

    def __init__(
        self,
        child: VllmChild,
        tokenizer: Tokenizer,
        *,
        adapter_tokenizer: Callable[[Adapter], Tokenizer] | None = None,
        context_length: int,
        max_open_requests: int,
        dtype: str,
    ) -> None:
        self.tokenizer = tokenizer
        self._adapter_tokenizer = adapter_tokenizer or (lambda _: tokenizer)
        self.context_length = context_length
        self._child = child
        self._max_open_requests = max_open_requests
        self._lock = threading.Lock()
        self._adapters = LoadedAdapters()
        self._unloading: dict[Digest, threading.Thread] = {}
        self._open = self._generated = self._cancelled = 0
        # A context costs milliseconds to make, and this one is never used: the child speaks plain HTTP.
        self._no_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        with child.client() as client:
            version = client.get("/version").json()["version"]
        self.stack = Stack(f"vllm {version}", dtype, "vllm")

    @classmethod
    def load(
        cls, base_path: Path, settings: ChildSettings, *, max_queued_requests: int, program: str | None = None
    ) -> Self:
        """Start vLLM on a base model; takes as long as vLLM does. Raises InvalidInput or EngineFailed."""
        tokenizers, vocabulary_size = AdapterTokenizers(base_path), _vocabulary_size(base_path)
        child = VllmChild.start(program or vllm_program(os.environ), base_path, settings)
        return cls(
            child,
            tokenizers.base,
            adapter_tokenizer=lambda adapter: tokenizers.of(adapter, vocabulary_size),
            context_length=settings.context_length or _context_length(base_path),
            max_open_requests=settings.max_running_requests + max_queued_requests,
            dtype=settings.dtype,
        )

    @property
    def child_pid(self) -> int:
        """vLLM's process, to measure its memory, or to kill it in a test."""
        return self._child.pid

    def tokenizer_of(self, adapter: Digest | None) -> Tokenizer:
        if adapter is None:
            return self.tokenizer
        with self._lock:
            return self._adapters.tokenizer(adapter)

    def load_adapter(self, adapter: Adapter) -> AppliedAdapter:
        """vLLM reads the folder itself; call from a thread that may wait."""
        with self._lock:
            already = self._adapters.revive(adapter.digest)
            unloading = self._unloading.pop(adapter.digest, None)
        if already is not None:
            return already
        if unloading is not None:  # vLLM would take the load for a repetition and unload it after
            unloading.join()
        check_engine_limits(adapter, "vllm", embeds_in_layers=False)
        tokenizer = self._adapter_tokenizer(adapter)
        body = {"lora_name": adapter.digest, "lora_path": str(adapter.path)}
        answer = self._post("/v1/load_lora_adapter", body)
        if not answer.is_success:
            raise AdapterRejected(
                f"vllm does not load {adapter.name!r}: {_message(answer)}", hint="serve with the engine torch"
            )
        parameters = sum(
            module.rank * (module.in_features + module.out_features) for module in adapter.modules
        )
        applied = AppliedAdapter(adapter.digest, len(adapter.modules), parameters)
        with self._lock:
            self._adapters.add(applied, tokenizer)
        return applied

    def unload_adapter(self, digest: Digest) -> None:
        with self._lock:
            self._adapters.retire(digest)
        self._drop_unused()

    def submit(self, request: GenerationRequest) -> VllmStream:
        """Beyond the contract: raises UnsupportedParameter for a scale, and Overloaded."""
        self._check(request)
        with self._lock:
            if self._open >= self._max_open_requests:
                raise Overloaded(
                    f"{self._open} requests are running or queued, which is the limit",
                    hint="try again in a moment",
                )
            self._adapters.acquire(request.adapter)
            self._open += 1
        return VllmStream(self, request)

    def stats(self) -> EngineStats:
        with self._lock:
            return EngineStats(
                alive=self._child.alive,
                running_requests=self._open,
                queued_requests=0,
                generated_tokens=self._generated,
                steps=None,
                cancelled_requests=self._cancelled,
                adapters=self._adapters.digests,
            )

    def close(self) -> None:
        self._child.close()

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[TokenEvent]:
        """The tokens of a request that was counted in."""
        top_logprobs = request.sampling.top_logprobs
        try:
            async with (
                httpx.AsyncClient(
                    base_url=self._child.base_url,
                    headers=self._child.headers,
                    timeout=None,  # noqa: S113 - a queue may be long; a dead child closes the connection
                    verify=self._no_tls,
                ) as client,
                client.stream("POST", "/v1/completions", json=request_body(request)) as answer,
            ):
                if not answer.is_success:
                    await answer.aread()
                    raise _refusal(answer)
                async for line in answer.aiter_lines():
                    for event in events_of(line, top_logprobs):
                        yield event
        except httpx.TransportError as error:
            raise EngineFailed(f"vllm does not answer: {type(error).__name__}", hint="see its log") from error

    def leave(self, request: GenerationRequest, *, tokens: int, finished: bool) -> None:
        """Count a request out."""
        with self._lock:
            self._open -= 1
            self._generated += tokens
            self._cancelled += not finished
            self._adapters.release(request.adapter)
        self._drop_unused()

    def _check(self, request: GenerationRequest) -> None:
        if not self._child.alive:
            raise EngineFailed("vllm has died", hint="restart the endpoint; its log says why it died")
        prompt_count, answer_count = len(request.prompt_ids), request.sampling.max_tokens
        if prompt_count + answer_count > self.context_length:
            raise ContextLengthExceeded(
                f"{prompt_count} prompt tokens and {answer_count} answer tokens are more than the "
                f"{self.context_length} tokens of context",
                hint="shorten the prompt or lower max_tokens",
                param="max_tokens",
            )
        if request.constraint is not None and self.tokenizer_of(request.adapter) is not self.tokenizer:
            raise UnsupportedParameter(
                "the engine vllm keeps to grammars in the base model's tokens, and this adapter has its own",
                hint="leave out the tools or the format, or serve with the engine torch",
            )
        if request.sampling.prompt_logprobs is not None:
            raise UnsupportedParameter(
                "the engine vllm is not asked for the log-probabilities of a prompt",
                hint="leave out prompt_logprobs, or echo; the engine torch has them",
                param="prompt_logprobs",
            )
        scaled = request.adapter is not None and request.adapter_scale != 1
        if scaled or request.adapter_without_layer is not None:
            name = "adapter_scale" if scaled else "adapter_without_layer"
            raise UnsupportedParameter(
                "the engine vllm applies adapters as they were trained, at no other scale and in all layers",
                hint=f"leave {name} out, or serve with the engine torch",
                param=name,
            )

    def _drop_unused(self) -> None:
        """Asked for in a thread of its own: a stream that ends may not keep its event loop waiting."""
        with self._lock:
            for digest in self._adapters.take_unused():
                thread = threading.Thread(target=self._unload, args=(digest,), daemon=True)
                self._unloading[digest] = thread
                thread.start()

    def _unload(self, digest: Digest) -> None:
        with suppress(EngineFailed):  # with a dead vLLM its adapters are gone too
            self._post("/v1/unload_lora_adapter", {"lora_name": digest})

    def _post(self, path: str, body: dict[str, str]) -> httpx.Response:
        try:
            with self._child.client() as client:
                return client.post(path, json=body)
        except httpx.TransportError as error:
            raise EngineFailed(f"vllm does not answer: {type(error).__name__}", hint="see its log") from error


class VllmStream:
    """Keeps the TokenStream contract: what was counted in is counted out exactly once."""

    def __init__(self, engine: VllmEngine, request: GenerationRequest) -> None:
        self._engine = engine
        self._request = request
        self._events = engine.generate(request)
        self._tokens = 0
        self._finished = self._left = False

    def __aiter__(self) -> VllmStream:
        return self

    async def __anext__(self) -> TokenEvent:
        if self._finished:
            await self.aclose()
            raise StopAsyncIteration
        try:
            event = await anext(self._events)
        except StopAsyncIteration:
            await self.aclose()
            raise EngineFailed("vllm ended an answer without a reason", hint="see its log") from None
        except BaseException:
            await self.aclose()
            raise
        self._tokens += 1
        self._finished = event.finish_reason is not None
        return event

    async def aclose(self) -> None:
        if self._left:
            return
        self._left = True
        try:
            await self._events.aclose()
        finally:
            self._engine.leave(self._request, tokens=self._tokens, finished=self._finished)


def _refusal(answer: httpx.Response) -> InvalidInput | EngineFailed:
    if answer.is_client_error:
        return InvalidInput(f"vllm refuses the request: {_message(answer)}")
    return EngineFailed(f"vllm answered {answer.status_code}: {_message(answer)}", hint="see its log")


def _message(answer: httpx.Response) -> str:
    try:
        document = answer.json()
        return str(document.get("error", document).get("message", document))
    except (ValueError, AttributeError):
        return answer.text[:300]


def _context_length(base_path: Path) -> int:
    return _number_in_config(base_path, "max_position_embeddings") or CONTEXT_TOKENS


def _vocabulary_size(base_path: Path) -> int:
    """How many tokens the model has; where it does not say, its tokenizer's word is taken."""
    return _number_in_config(base_path, "vocab_size") or sys.maxsize


def _number_in_config(base_path: Path, name: str) -> int:
    config = json.loads((base_path / "config.json").read_text(encoding="utf-8"))
    return int(config.get(name) or 0)
