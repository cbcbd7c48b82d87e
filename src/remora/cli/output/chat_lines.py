"""A conversation for programs: JSON lines on stdin are questions, JSON lines on stdout are the answers.

→ {"messages": [{"role": "user", "content": "Hello"}], "model": "tone", "temperature": 0.8}
← {"schema": "remora.chat.models/v1", "models": ["tone-base", "tone"], "model": "tone"}       the first line
← {"schema": "remora.chat.piece/v1", "text": "Hi"}
← {"schema": "remora.chat/v1", "model": "tone", "adapter_digest": …, "answer": "Hi there", …}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from remora.cli.output.console import Output
from remora.errors import InvalidInput, RemoraError
from remora.rollout.endpoint import Endpoint


def serve_lines(endpoint: Endpoint, models: Sequence[str], defaults: Mapping[str, Any], out: Output) -> None:
    """Answer each line until stdin ends. An error counts as an answer; Ctrl+C stops only the current one."""
    out.result("chat.models", {"models": list(models), "model": defaults["model"]})
    while (question := _next(out)) is not None:
        try:
            _answer(endpoint, {**defaults, **question}, out)
        except RemoraError as error:
            out.error(error)


def _next(out: Output) -> dict[str, Any] | None:
    """The next question; an interrupt between two answers ends the conversation."""
    while True:
        try:
            return out.receive()
        except InvalidInput as error:
            out.error(error)
        except KeyboardInterrupt:
            return None


def _answer(endpoint: Endpoint, request: dict[str, Any], out: Output) -> None:
    model, messages = request.pop("model"), request.pop("messages", None)
    if not isinstance(messages, list):
        raise InvalidInput("messages is not a list", hint="send the whole conversation", param="messages")
    text, stopped = "", False
    last: dict[str, Any] = {}
    proof: dict[str, Any] = {}
    chunks = endpoint.stream_chat(model, messages, **request)
    try:
        for chunk in chunks:
            proof = chunk.get("remora") or proof
            for choice in chunk.get("choices") or ():
                last = choice
                if piece := choice["delta"].get("content") or "":
                    text += piece
                    out.result("chat.piece", {"text": piece})
    except KeyboardInterrupt:
        stopped = True
    finally:
        chunks.close()
    document = {
        "model": model,
        "adapter_digest": proof.get("digest") or None,
        "answer": text,
        "finish_reason": "stopped" if stopped else last.get("finish_reason"),
        "tokens_per_second": proof.get("tokens_per_second"),
    }
    out.result("chat", document)
