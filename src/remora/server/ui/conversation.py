"""What stands on the page, as messages. Owns the difference between the talk and the notes about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from remora.errors import RemoraError

Message = dict[str, Any]

FACTS = "facts"
PROBLEM = "problem"


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def assistant(text: str) -> Message:
    return {"role": "assistant", "content": text}


def facts(line: str) -> Message:
    """A note under an answer. Its id tells it from the talk, also when the page sends it back."""
    content = f'<span class="answer-facts">{escape(line)}</span>'
    return {"role": "assistant", "content": content, "metadata": {"id": FACTS}}


def problem(error: RemoraError) -> Message:
    hint = f"<br>{escape(error.hint)}" if error.hint else ""
    title = error.code.replace("_", " ").capitalize()
    content = f'<span class="problem"><strong>{escape(title)}</strong> {escape(error.message)}{hint}</span>'
    return {"role": "assistant", "content": content, "metadata": {"id": PROBLEM}}


def turns(messages: Sequence[Mapping[str, Any]], system: str) -> list[dict[str, str]]:
    """The talk for the model: without notes, and without questions that got no answer."""
    talk = [
        {"role": message["role"], "content": plain(message)} for message in messages if _note(message) is None
    ]
    answered = [
        turn
        for turn, following in zip(talk, [*talk[1:], None], strict=True)
        if not _unanswered(turn, following)
    ]
    head = [{"role": "system", "content": system.strip()}] if system.strip() else []
    return head + [turn for turn in answered if turn["content"]]


def refused_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """The last question, if all it got was a problem."""
    last_two = messages[-2:]
    if len(last_two) == 2 and last_two[0]["role"] == "user" and _note(last_two[1]) == PROBLEM:
        return plain(last_two[0])
    return ""


def plain(message: Mapping[str, Any]) -> str:
    """The text of a message; pages send it back as a list of parts."""
    content = message["content"]
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


def _note(message: Mapping[str, Any]) -> str | None:
    note_id = (message.get("metadata") or {}).get("id")
    return note_id if note_id in (FACTS, PROBLEM) else None


def _unanswered(turn: Mapping[str, str], following: Mapping[str, str] | None) -> bool:
    """A question with another question, or an empty answer, after it; the last one is being asked now."""
    if turn["role"] != "user" or following is None:
        return False
    return following["role"] == "user" or not following["content"]
