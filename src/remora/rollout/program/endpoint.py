"""A client of an endpoint that is not Remora's: AI Toolkit's `inference/gradio_chat.py`, or a similar one.

Its facts: a page at `/`; `POST /v1/chat/completions` always streams, whatever `stream` says, in chunks of
OpenAI's shape without a final `[DONE]`; it uses only the last user message; it has no keys, no `/v1/models`
and no proof of which adapter answered. It always samples, so a temperature of 0 breaks it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import httpx

from remora.errors import ModelNotFound, NotReady
from remora.rollout.endpoint import Answer, Endpoint
from remora.rollout.gates.check import Checked

_LEAST_TEMPERATURE = 0.01
_PROMPT = "Hello!"
_MAX_TOKENS = 16
_RETRY_SECONDS = 0.5

Json = dict[str, Any]


class ProgramEndpoint(Endpoint):
    """The endpoint at `url`; `program` is the name for its only model, which has none."""

    def __init__(self, url: str, program: str) -> None:
        super().__init__(url, "")
        self._program = program

    def is_ready(self) -> bool:
        """Whether the page answers."""
        try:
            self.models()
        except NotReady:
            return False
        return True

    def models(self) -> list[Json]:
        """Its only model. Raises NotReady if the page does not answer."""
        try:
            answer = self._http.get("/", follow_redirects=True)
        except httpx.HTTPError as error:
            raise NotReady(f"{self.url} does not answer: {error}", hint="run: remora status") from error
        if not answer.is_success:
            raise NotReady(f"{self.url}/ answered {answer.status_code}", hint="run: remora logs")
        return [{"id": self._program}]

    def roster(self) -> tuple[list[Json], Json]:
        """Its only model, and an empty document, because it has no aliases."""
        return self.models(), {}

    def chat(self, model: str, messages: Sequence[Mapping[str, str]], **parameters: object) -> Answer:
        """One complete answer; its number of tokens is the number of events."""
        started, pieces = time.monotonic(), []
        for chunk in self.stream_chat(model, messages, **parameters):
            pieces += [choice["delta"].get("content") or "" for choice in chunk.get("choices") or ()]
        seconds = max(time.monotonic() - started, 1e-6)
        return Answer(
            model=model,
            text="".join(pieces),
            digest="",
            finish_reason="",
            completion_tokens=len(pieces),
            tokens_per_second=len(pieces) / seconds,
        )

    def stream_chat(
        self, model: str, messages: Sequence[Mapping[str, str]], **parameters: object
    ) -> Generator[Json]:
        """The chunks of an answer. Raises NotReady if the program sends none."""
        wished = parameters.get("temperature")
        if isinstance(wished, int | float):
            parameters["temperature"] = max(wished, _LEAST_TEMPERATURE)
        count = 0
        for chunk in super().stream_chat(model, messages, **parameters):
            count += 1
            yield chunk
        if not count:
            raise NotReady(f"{self.url} sent an empty answer", hint="run: remora logs")


def check_program(
    endpoint: ProgramEndpoint,
    *,
    must_chat: bool,
    timeout_seconds: float,
    tell: Callable[[str], None] = lambda _: None,
) -> list[Checked]:
    """Ask for the page and for an answer. Raises NotReady if they did not come in time.

    `tell` gets the reason for a missing answer, once per reason.

    A program that is not required to chat may have no `/v1/chat/completions`; then only the page is checked.
    """
    deadline, told = time.monotonic() + timeout_seconds, ""
    while True:
        try:
            (model,) = (str(item["id"]) for item in endpoint.models())
            answer = endpoint.chat(
                model, [{"role": "user", "content": _PROMPT}], temperature=1, max_tokens=_MAX_TOKENS
            )
            return [Checked(_PROMPT, answer)]
        except ModelNotFound:
            if must_chat:
                raise
            return []
        except NotReady as error:
            if time.monotonic() > deadline:
                raise
            if error.message != told:
                tell(error.message)
            told = error.message
            time.sleep(_RETRY_SECONDS)
