"""Chat templates rendered where they can be stopped. Owns the process that does it; knows no tokens.

A template may loop for ever or fill the memory, by mistake or by intent, and Python cannot stop code in a
thread of its own: so one process renders (`template_child`), 0.1 ms away, and the kernel ends it when a
rendering has used up its processor time. The next rendering starts another.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Any

LIMIT_SECONDS = 3.0  # of processor time; real templates take milliseconds
MEMORY_BYTES = 1024**3
MOST_CHARACTERS = 64 * 1024 * 1024
_SHOWN_CHARACTERS = 160
_KEPT_VARIABLES = ("TZ", "LANG", "LC_ALL", "SYSTEMROOT")


class TemplateFailed(Exception):
    """A template did not render: `reason`, and `line`, the line of the template where it happened or ""."""

    def __init__(self, reason: str, line: str = "") -> None:
        super().__init__(f"{reason}; the template's {line}" if line else reason)
        self.reason = reason
        self.line = line


class TemplateProcess:
    """Renders templates one after the other. The process starts with the first and ends with this object."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[str] | None = None
        self._finalizer: weakref.finalize[..., Any] | None = None

    def render(
        self,
        template: str,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] = (),
        tokens: Mapping[str, Any] | None = None,
    ) -> str:
        """The text of a conversation, ready for the assistant's turn. Raises TemplateFailed.

        `tokens` are the special tokens by the names that templates know (`bos_token` …), and what else the
        template is told; they may not replace the conversation.
        """
        request = {"template": template, "variables": _variables(messages, tools, tokens or {})}
        line = json.dumps(request) + "\n"
        with self._lock:
            answer = self._ask(line)
        document: dict[str, Any] = json.loads(answer)
        if "error" in document:
            raise TemplateFailed(document["error"], _shown(template, document["line"]))
        return str(document["text"])

    def close(self) -> None:
        """End the process; closing twice is a no-op, and a later rendering starts another."""
        with self._lock:
            self._end()

    def _ask(self, line: str) -> str:
        child = self._running()
        pipes = child.stdin, child.stdout
        answer = ""
        if pipes[0] is not None and pipes[1] is not None:
            with suppress(BrokenPipeError):
                pipes[0].write(line)
                pipes[0].flush()
                answer = pipes[1].readline()
        if answer.endswith("\n"):
            return answer
        code = child.wait()
        self._end()
        if code == -signal.SIGPROF:
            raise TemplateFailed(f"it takes more than {LIMIT_SECONDS:g} seconds")
        raise TemplateFailed(f"the process that renders it ended with {code}")

    def _running(self) -> subprocess.Popen[str]:
        if self._child is not None and self._child.poll() is not None:
            self._end()  # somebody else ended it while it had nothing to do
        if self._child is None:
            self._child = _started()
            self._finalizer = weakref.finalize(self, _stop, self._child)
        return self._child

    def _end(self) -> None:
        if self._finalizer is not None:
            self._finalizer()
        self._child = self._finalizer = None


def _started() -> subprocess.Popen[str]:
    source = resources.files(__package__ or "").joinpath("template_child.py").read_text("utf-8")
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", f"exec({source!a})"],  # a locale of C has no other letters
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
        encoding="ascii",  # JSON spells the rest
    )
    limits = {"seconds": LIMIT_SECONDS, "memory_bytes": MEMORY_BYTES, "characters": MOST_CHARACTERS}
    places = [place for place in sys.path if Path(place).is_absolute()]  # not whatever folder we stand in
    if child.stdin is not None:
        child.stdin.write(f"{json.dumps(places)}\n{json.dumps(limits)}\n")
    return child


def _stop(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with suppress(OSError):  # what was not flushed cannot be any more
                pipe.close()


def _variables(
    messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], tokens: Mapping[str, Any]
) -> dict[str, Any]:
    """As transformers gives them; a key whose value is null is left out of a message."""
    said = [{key: value for key, value in message.items() if value is not None} for message in messages]
    return {
        "documents": None,
        "add_generation_prompt": True,
        **tokens,
        "messages": said,
        "tools": list(tools) or None,
    }


def _shown(template: str, number: int | None) -> str:
    lines = template.splitlines()
    if number is None or not 1 <= number <= len(lines):
        return ""
    line = lines[number - 1].strip()
    short = line if len(line) <= _SHOWN_CHARACTERS else f"{line[:_SHOWN_CHARACTERS]}…"
    return f"line {number} is: {short}"
