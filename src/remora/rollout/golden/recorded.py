"""An answer token by token: the data by which two answers are compared. Compares nothing.

Tokens are identified by their text, which every OpenAI-compatible endpoint returns; bytes that are not text
are escaped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TOP_LOGPROBS = 20
"""The number of likeliest next tokens to request: the most that OpenAI's API allows."""


@dataclass(frozen=True, slots=True)
class Position:
    """A token of an answer. `top` are the likeliest tokens there and their log-probabilities (natural
    logarithms), likeliest first; the chosen one is always among them."""

    token: str
    top: tuple[tuple[str, float], ...]

    @property
    def gap(self) -> float:
        """How far the likeliest token is ahead of the second, in nats; infinite if only one is known."""
        return self.top[0][1] - self.top[1][1] if len(self.top) > 1 else float("inf")


@dataclass(frozen=True, slots=True)
class Stack:
    """What answers are computed with (see `remora.engine.base.Stack`), and `template`, the fingerprint of
    tokenizer and chat template; "" for each value that an endpoint does not report."""

    engine: str = ""
    dtype: str = ""
    device: str = ""
    template: str = ""


def positions_of(logprobs: Mapping[str, Any] | None) -> tuple[Position, ...]:
    """The positions in `choices[0].logprobs` of a chat completion; empty if it has none."""
    return tuple(map(_position, (logprobs or {}).get("content") or ()))


def stack_of(card: Mapping[str, Any]) -> Stack:
    """The stack in a base model's entry of `/v1/models`."""
    told = card.get("stack") or {}
    return Stack(*(str(told.get(name) or "") for name in Stack.__slots__))


def _position(entry: Mapping[str, Any]) -> Position:
    top = {_text(item): float(item["logprob"]) for item in entry.get("top_logprobs") or ()}
    token = _text(entry)
    top.setdefault(token, float(entry["logprob"]))
    return Position(token, tuple(sorted(top.items(), key=lambda item: -item[1])))


def _text(entry: Mapping[str, Any]) -> str:
    data = entry.get("bytes")
    return bytes(data).decode("utf-8", "backslashreplace") if data else str(entry["token"])
