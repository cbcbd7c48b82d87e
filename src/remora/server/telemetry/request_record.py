"""What one request came to, for the log, the metrics and the traces. Owns its facts; writes none of them.

There is no prompt in it, no answer and no key: only names, counts and times.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the front records requests too, and has no engine
    from remora.server.generation.answering import Answer

NO_ANSWER = 499  # nginx's status for a client that went away first


@dataclass(slots=True)
class RequestRecord:
    """Filled in while the request goes through. `route` is one of few, whatever path a client asked for."""

    request_id: str
    method: str
    traceparent: str = ""
    route: str = "other"
    key_name: str = "-"
    status: int = NO_ANSWER
    started_ns: int = field(default_factory=time.time_ns)
    seconds: float = 0.0
    answers: list[Answer] = field(default_factory=list)
    _started_at: float = field(default_factory=time.perf_counter)

    @property
    def age_seconds(self) -> float:
        """Since the request came."""
        return time.perf_counter() - self._started_at

    def close(self) -> None:
        """The request is over."""
        self.seconds = self.age_seconds

    def seconds_before(self, answer: Answer) -> float:
        """From the request to the question of this answer."""
        return answer.asked_at - self._started_at

    @property
    def prompt_tokens(self) -> int:
        """Of all prompts; the answers of one question share theirs."""
        return max((answer.prompt_tokens for answer in self.answers), default=0)

    @property
    def completion_tokens(self) -> int:
        return sum(answer.completion_tokens for answer in self.answers)


CURRENT: ContextVar[RequestRecord] = ContextVar("remora_request")
"""The request that the running task belongs to; not set where there is none."""
