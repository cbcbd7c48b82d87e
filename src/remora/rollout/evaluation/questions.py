"""What models are asked: a prompt, and the answer that is expected; and the JSONL file that has them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from remora.errors import InvalidFile

_FIELDS = ("prompt", "answer", "system")


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt, and the answer that is expected, "" if any answer will do."""

    prompt: str
    answer: str = ""
    system: str = ""

    @property
    def messages(self) -> list[dict[str, str]]:
        """The conversation that asks it."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": self.prompt}]


@dataclass(frozen=True, slots=True)
class Form:
    """What a file must have: `required` fields on each line, `most` lines, and the words of its errors."""

    noun: str
    param: str
    required: tuple[str, ...]
    most: int
    file_hint: str
    line_hint: str


def read_questions(path: Path, form: Form) -> list[Question]:
    """Those of a JSONL file: objects with `prompt`, `answer` and `system`. Raises InvalidFile."""
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidFile(f"{path} cannot be read: {error}", hint=form.file_hint, param=form.param) from error
    found = [_question(path, number, line, form) for number, line in enumerate(lines, 1) if line.strip()]
    if not 0 < len(found) <= form.most:
        raise InvalidFile(
            f"{path} has {len(found)} {form.noun}s: expected 1 … {form.most}",
            hint='write a line {"prompt": …, "answer": …} for each',
            param=form.param,
        )
    return found


def _question(path: Path, number: int, line: str, form: Form) -> Question:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidFile(
            f"{path}:{number} is not JSON: {error}", hint=form.line_hint, param=form.param
        ) from error
    fields = document if isinstance(document, dict) else {}
    wrong = [name for name in form.required if not fields.get(name)]
    wrong += [name for name, value in fields.items() if name not in _FIELDS or not isinstance(value, str)]
    if wrong:
        raise InvalidFile(
            f"{path}:{number}: {wrong[0]!r} is no text of a {form.noun}",
            hint=form.line_hint,
            param=form.param,
        )
    return Question(**fields)
