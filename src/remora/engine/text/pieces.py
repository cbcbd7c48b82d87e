"""The text of a generation, above any engine. Owns pieces of text and their end; knows no HTTP."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from remora.engine.base import Engine, FinishReason, GenerationRequest, TokenEvent, TokenScore, TokenStream
from remora.engine.text.detokenizer import Decode, Detokenizer
from remora.engine.text.stop_strings import StopStrings
from remora.errors import EngineFailed


@dataclass(frozen=True, slots=True)
class TextRules:
    """What of an answer's tokens is text, and where it ends.

    Where `keeps_stop`, the text includes the stop string or token that ended it. Until there are `min_tokens`
    no stop string counts. Without `skips_special` special tokens are text too.
    """

    stop: Sequence[str] = ()
    keeps_stop: bool = False
    skips_special: bool = True


class TextEvent(NamedTuple):  # one is made for every token: a frozen dataclass takes three times as long
    """A piece of the answer. Only the last event has a `finish_reason`, and only it may be empty.

    `token_count` is the number of tokens generated so far, those that end the answer included: on the
    last event it is the usage. `tokens` are those behind the text, where the request asks for
    log-probabilities; one that belongs to two pieces comes with the first. `token_ids` are all that were
    generated since the event before. `reused_prompt_tokens` is the same on every event: what the engine had
    computed for the prompt before. `end` is the token that ended the answer, where one did: it is not among
    `tokens`; `stop` is the stop string that did. The first event has the scores of the prompt.
    """

    text: str
    finish_reason: FinishReason | None
    token_count: int
    tokens: tuple[TokenEvent, ...] = ()
    reused_prompt_tokens: int = 0
    token_ids: tuple[int, ...] = ()
    end: TokenEvent | None = None
    prompt_scores: tuple[TokenScore, ...] = ()
    stop: str | None = None


def generate_text(
    engine: Engine, request: GenerationRequest, rules: TextRules | None = None
) -> AsyncGenerator[TextEvent]:
    """Submit the request now and return its text as it comes; closing the generator cancels it.

    What comes after a stop string is not delivered, and the engine stops at it. Raises at once whatever
    `Engine.submit` raises, and InvalidInput for an empty stop string.
    """
    rules = rules or TextRules()
    stops = StopStrings(rules.stop, keep=rules.keeps_stop)
    tokenizer = engine.tokenizer_of(request.adapter)
    decode: Decode = tokenizer.decode  # as it is, where it can be: it is called for every token
    if not rules.skips_special:
        decode = partial(tokenizer.decode, skip_special_tokens=False)
    return _text_of(engine.submit(request), _Answer(Detokenizer(decode), stops, request, rules))


async def _text_of(stream: TokenStream, answer: _Answer) -> AsyncGenerator[TextEvent]:
    async with aclosing(stream):
        async for token in stream:
            event = answer.add(token)
            if event.text or event.finish_reason is not None:
                yield event
            if event.finish_reason is not None:
                return
    raise EngineFailed("the engine ended an answer without saying why", hint="look at the endpoint's log")


class _Answer:
    """One answer on its way from tokens to text."""

    def __init__(
        self, detokenizer: Detokenizer, stops: StopStrings, request: GenerationRequest, rules: TextRules
    ) -> None:
        self._detokenizer = detokenizer
        self._stops = stops
        self._keeps_stop = rules.keeps_stop
        self._min_tokens = request.sampling.min_tokens
        self._is_empty = request.sampling.max_tokens == 0
        self._stop_token_ids = request.stop_token_ids
        self._new_ids: list[int] = []
        self._scores: tuple[TokenScore, ...] = ()
        self._token_count = self._reused_count = 0
        self._tokens = None if request.sampling.top_logprobs is None else _TextTokens()

    def add(self, token: TokenEvent) -> TextEvent:
        if self._is_empty:
            return TextEvent("", FinishReason.LENGTH, 0, prompt_scores=token.prompt_scores)
        self._token_count += 1
        if self._token_count == 1:  # said with the first token alone
            self._reused_count, self._scores = token.reused_prompt_tokens, token.prompt_scores
        self._new_ids.append(token.token_id)
        is_end = token.token_id in self._stop_token_ids
        text = "" if is_end and not self._keeps_stop else self._fed(token, is_end)
        stops, reason = self._stops, token.finish_reason
        if reason is not None and stops.found is None:
            text += stops.feed(self._detokenizer.flush()) + stops.flush()
        if stops.found is not None:
            reason = FinishReason.STOP
        tokens: tuple[TokenEvent, ...] = ()
        if self._tokens is not None:
            tokens = self._tokens.take(text, cut=stops.found is not None, last=reason is not None)
        if not text and reason is None:
            return _NOTHING
        ids, self._new_ids = tuple(self._new_ids), []
        scores, self._scores = self._scores, ()
        end = token if is_end else None
        return TextEvent(
            text, reason, self._token_count, tokens, self._reused_count, ids, end, scores, stops.found
        )

    def _fed(self, token: TokenEvent, is_end: bool) -> str:
        """The text that may be delivered with this token."""
        piece = self._detokenizer.feed(token.token_id)
        if self._tokens is not None and not is_end:
            self._tokens.add(token, piece)
        return piece if self._token_count <= self._min_tokens else self._stops.feed(piece)


_NOTHING = TextEvent("", None, 0)  # what is not delivered


class _TextTokens:
    """The tokens whose text is not delivered yet, with where their text begins."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, TokenEvent]] = []
        self._fed_characters = 0
        self._delivered_characters = 0

    def add(self, token: TokenEvent, piece: str) -> None:
        self._waiting.append((self._fed_characters, token))
        self._fed_characters += len(piece)

    def take(self, text: str, *, cut: bool, last: bool) -> tuple[TokenEvent, ...]:
        """Those of this piece of text. What a stop string cuts off has none."""
        self._delivered_characters += len(text)
        if not text and not last:
            return ()
        everything = last and not cut
        taken = [token for start, token in self._waiting if everything or start < self._delivered_characters]
        self._waiting = self._waiting[len(taken) :]
        return tuple(taken)
