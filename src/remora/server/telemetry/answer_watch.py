"""Answers while they are made. Owns who waits and who runs; tells metrics and request what came of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Protocol

from remora.server.generation.answering import Answer, AnswerObserver
from remora.server.telemetry.request_record import CURRENT


class AnswerMetrics(Protocol):
    """Where the measures of answers go."""

    def note_first(self, answer: Answer) -> None: ...

    def note_next(self, seconds: float) -> None: ...

    def note_end(self, answer: Answer) -> None: ...


class OpenAnswers:
    """How many answers each adapter has in the making, before and after their first text."""

    def __init__(self) -> None:
        self._waiting: Counter[str] = Counter()
        self._running: Counter[str] = Counter()

    @property
    def waiting(self) -> Iterable[str]:
        return tuple(self._waiting)

    @property
    def running(self) -> Iterable[str]:
        return tuple(self._running)

    def began(self, name: str) -> None:
        self._waiting[name] += 1

    def got_first(self, name: str) -> None:
        _take(self._waiting, name)
        self._running[name] += 1

    def ended(self, name: str, *, had_first: bool) -> None:
        _take(self._running if had_first else self._waiting, name)


class AnswerWatch(AnswerObserver):
    """Tells metrics, and the record of the request that it belongs to, how each answer goes."""

    def __init__(self, metrics: AnswerMetrics, answers_open: OpenAnswers) -> None:
        self._metrics = metrics
        self._open = answers_open
        self._had_first: dict[Answer, bool] = {}

    def began(self, answer: Answer) -> None:
        self._had_first[answer] = False
        record = CURRENT.get(None)
        if record is not None:
            record.answers.append(answer)
        if answer.adapter is not None:
            self._open.began(answer.adapter.name)

    def got_first(self, answer: Answer) -> None:
        self._had_first[answer] = True
        self._metrics.note_first(answer)
        if answer.adapter is not None:
            self._open.got_first(answer.adapter.name)

    def got_next(self, seconds: float) -> None:
        self._metrics.note_next(seconds)

    def ended(self, answer: Answer) -> None:
        had_first = self._had_first.pop(answer)
        self._metrics.note_end(answer)
        if answer.adapter is not None:
            self._open.ended(answer.adapter.name, had_first=had_first)


def _take(tally: Counter[str], name: str) -> None:
    tally[name] -= 1
    if not tally[name]:
        del tally[name]
