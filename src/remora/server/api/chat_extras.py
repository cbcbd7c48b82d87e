"""What vLLM's clients find beside the text of a chat answer: token ids, the prompt's scores, usage so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from remora.engine.base import TokenScore
from remora.engine.text.pieces import TextEvent
from remora.server.api import report
from remora.server.api.schema.chat import ChatRequest
from remora.server.generation.choices import Choices
from remora.server.generation.logprobs import prompt_logprobs


def prompt_extras(body: ChatRequest, choices: Choices, scores: Sequence[TokenScore]) -> dict[str, Any]:
    """The fields of a whole answer that are about its prompt."""
    extras: dict[str, Any] = {}
    if body.return_token_ids:
        extras["prompt_token_ids"] = list(choices.prompt_ids(0))
    if body.prompt_logprobs is not None:
        extras["prompt_logprobs"] = prompt_logprobs(choices.tokenizer, scores, body.prompt_logprobs)
    return extras


class ChunkExtras:
    """The same for the chunks of one streamed choice."""

    def __init__(self, body: ChatRequest, choices: Choices) -> None:
        self._body = body
        self._choices = choices
        self._ids: list[int] = []  # of text that no chunk has shown yet

    def first(self, head: Mapping[str, Any], choice: Mapping[str, Any]) -> dict[str, Any]:
        """The chunk with the role."""
        return {**self.chunk(head, choice), **prompt_extras(self._body, self._choices, ())}

    def add(self, event: TextEvent) -> None:
        if self._body.return_token_ids:
            self._ids += event.token_ids

    def chunk(self, head: Mapping[str, Any], choice: Mapping[str, Any]) -> dict[str, Any]:
        """A chunk with this choice in it, and what belongs to it."""
        ids, self._ids = self._ids, []
        shown = {**choice, "token_ids": ids} if self._body.return_token_ids else choice
        usage = {"usage": report.usage(self._choices)} if self._body.wants_continuous_usage else {}
        return {**head, **usage, "choices": [shown]}
