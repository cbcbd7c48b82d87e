"""The embedded engine. Owns one inference thread and the way of requests in and tokens out.

    submit ──► inbox ──► Scheduler ──► SlotModel ──► choose_tokens ──► Mailbox ──► stream
    (event loop)   └──────────── inference thread, one round a step ────────────┘

The thread alone touches the model, the scheduler and the cache. What other threads share with it is under
`_changed`'s lock. An adapter is taken in at any time, since no step looks at it before its first request, and
taken off between steps.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from remora.adapters.adapter import Adapter, AppliedAdapter, Digest
from remora.engine.base import (
    EngineStats,
    FinishReason,
    GenerationRequest,
    TokenEvent,
    Tokenizer,
    TokenStream,
    check_ids,
)
from remora.engine.loaded import LoadedAdapters
from remora.engine.loading import loading
from remora.engine.text.adapter_text import AdapterTokenizer, AdapterTokenizers
from remora.engine.torch.altered import check_altered
from remora.engine.torch.model.checkpoint import load_model
from remora.engine.torch.model.model import SlotModel
from remora.engine.torch.own_thread import in_own_thread
from remora.engine.torch.prompt_scores import take_scores
from remora.engine.torch.sampling import Chosen, TokenSampler, choose_tokens
from remora.engine.torch.scheduling.scheduler import Chunk, Scheduler
from remora.engine.torch.scheduling.sequence import Sequence
from remora.engine.torch.speculation import rows_with_drafts
from remora.engine.torch.stream import Event, Mailbox, MailboxStream
from remora.errors import ContextLengthExceeded, EngineFailed, InvalidInput, Overloaded

PREFILL_TOKENS_PER_STEP = 256  # a chunk that a stream waits for: a tenth of a second or two

logger = logging.getLogger(__name__)


class TorchEngine:
    """Keeps the Engine contract: continuous batching, every request with its own adapter."""

    def __init__(
        self,
        model: SlotModel,
        tokenizer: Tokenizer,
        *,
        adapter_tokenizer: AdapterTokenizer | None = None,
        max_running_requests: int = 16,
        max_queued_requests: int = 64,
        prefill_tokens_per_step: int = PREFILL_TOKENS_PER_STEP,
        keeps_prefixes: bool = True,
        speculation: str = "auto",
    ) -> None:
        if max_running_requests < 1 or max_queued_requests < 0 or prefill_tokens_per_step < 1:
            raise InvalidInput(
                f"an engine with {max_running_requests} running requests, {max_queued_requests} queued and "
                f"{prefill_tokens_per_step} prefill tokens a step would never answer",
                param="serve.max_running_requests",
            )
        self.tokenizer = tokenizer
        self._adapter_tokenizer = adapter_tokenizer or (lambda *_: tokenizer)
        self.context_length = model.context_length
        self.stack = model.stack
        self._model = model
        self._max_open_requests = max_running_requests + max_queued_requests
        self._scheduler = Scheduler(
            model.cache_tokens,
            max_running_requests=max_running_requests,
            prefill_tokens_per_step=prefill_tokens_per_step,
            keeps_prefixes=keeps_prefixes,
            longest_short_text=model.longest_short_text,
            rows_with_drafts=rows_with_drafts(speculation, model.rows_at_once),
        )
        self._changed = threading.Condition()
        self._inbox: deque[Sequence] = deque()
        self._open: set[Sequence] = set()
        self._has_retired = False
        self._adapters = LoadedAdapters()
        self._failure: EngineFailed | None = None
        self._running = self._reserved = self._generated = self._steps = self._cancelled = 0
        self._drafted = self._accepted = 0
        self._thread = threading.Thread(target=self._run, name="remora-torch-engine", daemon=True)
        self._thread.start()

    @classmethod
    def load(
        cls,
        base_path: Path,
        *,
        dtype: str = "auto",
        device: str = "auto",
        quantize: str = "none",
        max_running_requests: int = 16,
        max_queued_requests: int = 64,
        prefill_tokens_per_step: int = PREFILL_TOKENS_PER_STEP,
        kv_cache_tokens: int | None = None,
        native: str = "auto",
        speculation: str = "auto",
    ) -> TorchEngine:
        """Read a base model and start. `kv_cache_tokens` bounds the tokens in flight (None: by memory).

        `quantize` is one of weights.QUANTIZATIONS, `native` one of native.choice.CHOICES,
        `speculation` one of speculation.CHOICES.

        Raises ProjectIncomplete, InvalidFile, InvalidInput, Refused or LoadFailed.
        """
        load = partial(
            load_model,
            base_path,
            dtype=dtype,
            device=device,
            quantize=quantize,
            max_running_requests=max_running_requests,
            cache_tokens=kv_cache_tokens,
            native=native,
        )
        with loading(f"the base model in {base_path}"):
            model, tokenizers = in_own_thread(load), AdapterTokenizers(base_path)
        return cls(
            model,
            tokenizers.base,
            adapter_tokenizer=tokenizers.of,
            max_running_requests=max_running_requests,
            max_queued_requests=max_queued_requests,
            prefill_tokens_per_step=prefill_tokens_per_step,
            speculation=speculation,
        )

    def tokenizer_of(self, adapter: Digest | None) -> Tokenizer:
        if adapter is None:
            return self.tokenizer
        with self._changed:
            return self._adapters.tokenizer(adapter)

    def load_adapter(self, adapter: Adapter) -> AppliedAdapter:
        """Reads its weights: keep it off the event loop. Waits for no step in progress."""
        with self._changed:
            self._refuse_if_stopped()
            applied = self._adapters.revive(adapter.digest)
        if applied is not None:
            return applied
        what = f"the adapter {adapter.name!r}"
        with loading(what):
            weights = in_own_thread(partial(self._model.lora.read, adapter))
            own_rows = in_own_thread(partial(self._model.token_rows.read, adapter))
            token_count = own_rows.token_count if own_rows else self._model.vocab_size
            tokenizer = self._adapter_tokenizer(adapter, token_count)
        with self._changed:
            self._refuse_if_stopped()
            # Two threads may load the same adapter; and one that goes meanwhile goes whole, under this lock.
            applied = self._adapters.revive(adapter.digest)
            if applied is None:
                with loading(what):
                    rows = self._model.token_rows.install(adapter.digest, own_rows)
                    applied = replace(self._model.lora.install(adapter.digest, weights), token_rows=rows)
                self._adapters.add(applied, tokenizer)
        return applied

    def unload_adapter(self, digest: Digest) -> None:
        """Returns at once; the weights go between two steps, after the last request that uses them."""
        with self._changed:
            self._adapters.retire(digest)
            self._has_retired = True
            self._changed.notify()

    def submit(self, request: GenerationRequest) -> TokenStream:
        """Beyond the contract: raises InvalidInput and, where the queue is full, Overloaded."""
        self._check(request)
        mailbox = Mailbox()
        sampler = TokenSampler(
            request.sampling, request.constraint, request.prompt_ids, request.stop_token_ids
        )
        sequence = Sequence(request, mailbox.post, sampler)
        with self._changed:
            self._refuse_if_stopped()
            self._refuse_if_full(request.adapter)
            # Counted in under the lock that unload takes: between check and use it cannot go.
            self._adapters.acquire(request.adapter)
            if request.adapter is not None and request.adapter_without_layer is not None:
                self._model.lora.leave_out(request.adapter, request.adapter_without_layer)
            self._open.add(sequence)
            self._inbox.append(sequence)
            self._changed.notify()
        return MailboxStream(mailbox, sequence.cancel)

    def stats(self) -> EngineStats:
        with self._changed:
            return EngineStats(
                alive=self._failure is None,
                running_requests=self._running,
                queued_requests=len(self._open) - self._running,
                generated_tokens=self._generated,
                steps=self._steps,
                cancelled_requests=self._cancelled,
                drafted_tokens=self._drafted,
                accepted_tokens=self._accepted,
                adapters=self._adapters.digests,
                kv_tokens_used=self._reserved,
                kv_tokens_total=self._model.cache_tokens,
            )

    def close(self) -> None:
        with self._changed:
            self._failure = self._failure or EngineFailed("the engine was closed")
            self._changed.notify()
        self._thread.join()

    def _check(self, request: GenerationRequest) -> None:
        prompt_count, answer_count = len(request.prompt_ids), request.sampling.max_tokens
        if not prompt_count:
            raise InvalidInput("the prompt is empty", hint="send at least one token", param="prompt")
        if answer_count < (1 if request.sampling.prompt_logprobs is None else 0):
            raise InvalidInput(f"max_tokens is {answer_count}, it must be at least 1", param="max_tokens")
        if prompt_count + answer_count > self.context_length:
            raise ContextLengthExceeded(
                f"{prompt_count} prompt tokens and {answer_count} answer tokens are more than the "
                f"{self.context_length} tokens of context",
                hint="shorten the prompt or lower max_tokens",
                param="max_tokens" if prompt_count < self.context_length else "messages",
            )
        known = self._model.token_rows.token_count(request.adapter)
        highest = max(request.prompt_ids)
        if highest >= known or min(request.prompt_ids) < 0:
            raise InvalidInput(
                f"the prompt has token {highest}, but the model knows only {known}",
                hint="use the tokenizer that belongs to the model",
            )
        ends = request.stop_token_ids - self.tokenizer_of(request.adapter).stop_token_ids
        check_ids("logit_bias", request.sampling.logit_bias, known)
        check_ids("stop_token_ids", ends, known)
        check_altered(request, self._model)

    def _refuse_if_stopped(self) -> None:
        if self._failure is not None:
            raise EngineFailed(
                self._failure.message, hint="restart the endpoint; its log says why it stopped"
            )

    def _refuse_if_full(self, adapter: Digest | None) -> None:
        """An adapter that nobody uses now is let in also by a full queue: others may not shut it out."""
        if len(self._open) < self._max_open_requests:
            return
        if any(sequence.request.adapter == adapter for sequence in self._open):
            raise Overloaded(
                f"{len(self._open)} requests are running or queued, which is the limit",
                hint="try again in a moment",
            )

    # The rest runs in the inference thread.

    def _run(self) -> None:
        failure = EngineFailed("the engine was closed")
        try:
            with torch.inference_mode():
                while self._next_round():
                    pass
        except Exception as error:
            logger.exception("the inference thread died")
            failure = EngineFailed(
                f"the engine failed: {type(error).__name__}", hint="see the endpoint's log"
            )
        self._fail_everything(failure)

    def _next_round(self) -> bool:
        """Wait for work, take it in and do one step; False when it is time to stop."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._failure or self._has_retired or self._inbox or self._scheduler.has_work
            )
            if self._failure is not None:
                return False
            arrived, self._inbox = self._inbox, deque()
            has_retired = self._has_retired
        if has_retired:
            self._remove_unused_adapters()
        for sequence in arrived:
            self._scheduler.add(sequence)
        self._drop_cancelled()
        if self._scheduler.has_work:
            self._step()
        return True

    def _step(self) -> None:
        step = self._scheduler.next_step()
        chunks = self._model.arranged(step.chunks)
        complete = [chunk for chunk in chunks if chunk.completes]
        self._model.copy_rows(step.copies)
        logits = take_scores(chunks, self._model.forward(chunks))
        for chunk in chunks:
            chunk.sequence.computed_count += chunk.count
        samplers = [chunk.sequence.sampler for chunk in complete]
        choices = choose_tokens(logits, samplers, [chunk.draft for chunk in complete])
        self._count_step(complete, choices)
        # All books are closed before the first event goes out: who has read the end sees it in the stats.
        events = [
            (chunk.sequence, event)
            for chunk, chosen in zip(complete, choices, strict=True)
            for event in self._advance_all(chunk, chosen)
        ]
        self._count_running()
        for sequence, event in events:
            if not sequence.deliver(event):
                sequence.cancel()

    def _count_step(self, complete: list[Chunk], choices: list[list[Chosen]]) -> None:
        made = sum(len(chosen) for chosen in choices)
        with self._changed:
            self._steps += 1
            self._generated += made
            self._drafted += sum(len(chunk.draft) for chunk in complete)
            self._accepted += made - len(complete)

    def _advance_all(self, chunk: Chunk, chosen: list[Chosen]) -> list[Event]:
        """Add what was chosen after a chunk. The rows of its draft that were right count as computed."""
        sequence, accepted = chunk.sequence, len(chosen) - 1
        sequence.computed_count += accepted
        if chunk.draft:
            sequence.drafts.note(accepted, len(sequence.tokens) + accepted)
        return [self._advance(sequence, choice) for choice in chosen]

    def _advance(self, sequence: Sequence, choice: Chosen) -> Event:
        """Add a token to its sequence, which leaves with the last one, or with an error."""
        if choice is None:
            sequence.computed_count = 0  # nothing of it may serve another
            self._finish(sequence)
            return EngineFailed("the model's output is not a number", hint="check the adapter's weights")
        if isinstance(choice, InvalidInput):
            self._finish(sequence)
            return choice
        reason = sequence.append(choice.token_id)
        if choice.completes:
            reason = FinishReason.STOP
        if reason is not None:
            self._finish(sequence)
        if sequence.answer_count > 1:
            return TokenEvent(choice.token_id, reason, choice.logprob, choice.top_logprobs)
        return TokenEvent(
            choice.token_id,
            reason,
            choice.logprob,
            choice.top_logprobs,
            sequence.reused_count,
            tuple(sequence.scores),
        )

    def _drop_cancelled(self) -> None:
        gone = self._scheduler.cancelled()
        for sequence in gone:
            self._finish(sequence)
        with self._changed:
            self._cancelled += len(gone)
        self._count_running()

    def _finish(self, sequence: Sequence) -> None:
        self._scheduler.remove(sequence)
        with self._changed:
            self._open.discard(sequence)
            self._adapters.release(sequence.request.adapter)
        self._remove_unused_adapters()

    def _count_running(self) -> None:
        with self._changed:
            self._running = self._scheduler.running_count
            self._reserved = self._scheduler.reserved_row_count

    def _remove_unused_adapters(self) -> None:
        with self._changed:
            self._has_retired = False
            for digest in self._adapters.take_unused():
                self._model.token_rows.remove(digest)
                for gone in self._model.lora.remove(digest):
                    self._scheduler.forget(gone)

    def _fail_everything(self, failure: EngineFailed) -> None:
        with self._changed:
            self._failure = self._failure or failure
            sequences, self._open = self._open, set()
            self._running = 0
        for sequence in sequences:
            sequence.deliver(EngineFailed(failure.message, hint=failure.hint))
