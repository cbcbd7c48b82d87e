"""The requests of a comparison, many at a time. Owns concurrency and timing; judges no answer.

One event loop sends them all, so that Ctrl+C closes every connection, and the endpoint stops those answers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Self, TypeVar

import httpx

from remora.errors import NotReady, UnsupportedParameter, said
from remora.rollout.compare.contestants import Contestant
from remora.rollout.endpoint import ANSWER_SECONDS, CONNECT_SECONDS, Json, problem_of
from remora.rollout.golden.recorded import TOP_LOGPROBS

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Gets the number of requests that are done, and that of all."""


@dataclass(frozen=True, slots=True)
class Told:
    """An answer, with the tokens of its prompt and its own. `digest` is "" for the base model."""

    text: str
    finish_reason: str
    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    digest: str
    seconds: float
    first_token_seconds: float
    tokens_per_second: float


@dataclass(frozen=True, slots=True)
class ScoredPosition:
    """A given token: its text and log-probability, and those of the likeliest tokens in its place, by id."""

    token_id: int
    logprobs: Mapping[int, float]
    texts: Mapping[int, str]


Scores = tuple[ScoredPosition, ...]


class Asker:
    """Asks the endpoints of the contestants, with at most `parallel` requests at a time."""

    def __init__(self, contestants: Sequence[Contestant], parallel: int) -> None:
        timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS, pool=None)
        limits = httpx.Limits(max_connections=parallel)
        self._clients = {
            one.endpoint.url: httpx.AsyncClient(
                base_url=one.endpoint.url, headers=one.endpoint.headers, timeout=timeout, limits=limits
            )
            for one in contestants
        }
        self._places = asyncio.Semaphore(parallel)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for client in self._clients.values():
            await self._stack.enter_async_context(client)
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._stack.aclose()

    async def answer(self, who: Contestant, messages: Sequence[Mapping[str, str]], max_tokens: int) -> Told:
        """The greedy answer to a conversation."""
        body = {
            "messages": list(messages),
            "temperature": 0,
            "max_tokens": max_tokens,
            "return_token_ids": True,
        }
        async with self._places:
            started = time.monotonic()
            document = await self._post(who, "/v1/chat/completions", body)
            seconds = time.monotonic() - started
        choice, proof = document["choices"][0], document.get("remora") or {}
        return Told(
            text=choice["message"]["content"] or "",
            finish_reason=choice["finish_reason"],
            prompt_ids=tuple(document["prompt_token_ids"]),
            token_ids=tuple(choice["token_ids"]),
            digest=proof.get("digest") or "",
            seconds=seconds,
            first_token_seconds=(proof.get("time_to_first_token_ms") or 0.0) / 1000,
            tokens_per_second=proof.get("tokens_per_second") or 0.0,
        )

    async def tokens(self, who: Contestant, text: str) -> tuple[int, ...]:
        """The tokens of a text, without special ones."""
        async with self._places:
            document = await self._post(
                who, "/tokenize", {"prompt": text, "add_special_tokens": False}, scaled=False
            )
        return tuple(document["tokens"])

    async def scores(self, who: Contestant, prompt: Sequence[int], given: Sequence[int]) -> Scores | None:
        """What the model makes of these tokens after a prompt; None if the endpoint scores no prompts."""
        try:
            return await self.scored(who, prompt, given)
        except UnsupportedParameter:
            return None

    async def scored(self, who: Contestant, prompt: Sequence[int], given: Sequence[int]) -> Scores:
        """The same. Raises UnsupportedParameter if the endpoint scores no prompts, or not of such a model."""
        body = {"prompt": [*prompt, *given], "max_tokens": 0, "prompt_logprobs": TOP_LOGPROBS}
        async with self._places:
            document = await self._post(who, "/v1/completions", body)
        told = document["choices"][0]["prompt_logprobs"][len(prompt) :]
        return tuple(_scored(token, entries) for token, entries in zip(given, told, strict=True))

    async def _post(self, who: Contestant, path: str, body: Json, *, scaled: bool = True) -> Json:
        altered = _altered(who) if scaled else {}
        client = self._clients[who.endpoint.url]
        try:
            response = await client.post(path, json={"model": who.model, **body, **altered})
        except httpx.HTTPError as error:
            url = who.endpoint.url
            raise NotReady(f"{url} does not answer: {said(error)}", hint="run: remora status") from error
        if not response.is_success:
            raise problem_of(response)
        document: Json = response.json()
        return document


def _altered(who: Contestant) -> Json:
    """The fields for a model that is not to answer as it was trained."""
    scale = {} if who.scale == 1 else {"adapter_scale": who.scale}
    return scale if who.without_layer is None else {**scale, "adapter_without_layer": who.without_layer}


def _scored(token_id: int, entries: Mapping[str, Json]) -> ScoredPosition:
    return ScoredPosition(
        token_id,
        {int(key): float(entry["logprob"]) for key, entry in entries.items()},
        {int(key): str(entry["decoded_token"]) for key, entry in entries.items()},
    )


class Count:
    """Counts the requests that are done."""

    def __init__(self, total: int, tell: Progress) -> None:
        self._total = total
        self._tell = tell
        self._done = 0

    async def of(self, request: Awaitable[T]) -> T:
        result = await request
        self._done += 1
        self._tell(self._done, self._total)
        return result


async def all_of(work: Iterable[Coroutine[None, None, T]]) -> list[T]:
    """The results in order. The first error ends the other work, and is raised by itself."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
    except BaseExceptionGroup as errors:
        raise _first(errors) from None
    return [task.result() for task in tasks]


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
