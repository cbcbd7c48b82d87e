"""The text of a generation, above any engine. Owns pieces of text and their end; knows no HTTP."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from remora.engine.base import Engine, FinishReason, GenerationRequest, TokenEvent, TokenStream
from remora.engine.detokenizer import Detokenizer
from remora.engine.stop_strings import StopStrings
from remora.errors import EngineFailed


@dataclass(frozen=True, slots=True)
class TextEvent:
    """A piece of the answer. Only the last event has a `finish_reason`, and only it may be empty.

    `token_count` is the number of tokens generated so far, those that end the answer included: on the
    last event it is the usage. `tokens` are those behind the text, where the request asks for
    log-probabilities; one that belongs to two pieces comes with the first. `reused_prompt_tokens` is the
    same on every event: what the engine had computed for the prompt before.
    """

    text: str
    finish_reason: FinishReason | None
    token_count: int
    tokens: tuple[TokenEvent, ...] = ()
    reused_prompt_tokens: int = 0


def generate_text(
    engine: Engine, request: GenerationRequest, stop: Sequence[str] = ()
) -> AsyncGenerator[TextEvent]:
    """Submit the request now and return its text as it comes; closing the generator cancels it.

    Neither a stop string nor anything after it is delivered, and the engine stops at it. Raises at once
    whatever `Engine.submit` raises, and InvalidInput for an empty stop string.
    """
    stops = StopStrings(stop)
    return _text_of(engine.submit(request), _Answer(Detokenizer(engine.tokenizer), stops, request))


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

    def __init__(self, detokenizer: Detokenizer, stops: StopStrings, request: GenerationRequest) -> None:
        self._detokenizer = detokenizer
        self._stops = stops
        self._stop_token_ids = request.stop_token_ids
        self._token_count = self._reused_count = 0
        self._tokens = None if request.sampling.top_logprobs is None else _TextTokens()

    def add(self, token: TokenEvent) -> TextEvent:
        self._token_count += 1
        self._reused_count += token.reused_prompt_tokens  # said with the first token alone
        text = ""
        if token.token_id not in self._stop_token_ids:
            piece = self._detokenizer.feed(token.token_id)
            text = self._stops.feed(piece)
            if self._tokens is not None:
                self._tokens.add(token, piece)
        if token.finish_reason is not None and not self._stops.hit:
            text += self._stops.feed(self._detokenizer.flush())
            text += self._stops.flush()
        reason = FinishReason.STOP if self._stops.hit else token.finish_reason
        tokens: tuple[TokenEvent, ...] = ()
        if self._tokens is not None:
            tokens = self._tokens.take(text, cut=self._stops.hit, last=reason is not None)
        return TextEvent(text, reason, self._token_count, tokens, self._reused_count)


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
