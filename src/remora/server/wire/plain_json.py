"""Whether a value that came as JSON can be sent on as JSON. Owns that check and the name of what is at fault.

Python's parser takes more than JSON is: half of a surrogate pair, which no text can be made of, and numbers
that are none. What passes here can be shown again, logged, rendered and tokenized.
"""

from __future__ import annotations

import json
import math

from remora.errors import InvalidInput

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def check_plain(value: object, param: str | None = None) -> None:
    """Raises InvalidInput, naming the field by its path; or `param`, where the value came inside of one."""
    try:
        # The whole at the speed of C; which part it is matters only where there is one.
        _ENCODER.encode(value).encode()
    except (ValueError, RecursionError):
        path, what = _fault(value)
        named = f"{path!r} {what}" if path else f"the value {what}"
        raise InvalidInput(named, hint="send plain JSON", param=param or path) from None


def _fault(value: object) -> tuple[str | None, str]:
    """The path of the first part that is at fault, and what is wrong with it."""
    waiting: list[tuple[str, object]] = [("", value)]
    while waiting:
        path, part = waiting.pop()
        if isinstance(part, str) and not _is_text(part):
            return path, "holds half of a surrogate pair, which is no text"
        if isinstance(part, float) and not math.isfinite(part):
            return path, f"is {part}, which is no number of JSON"
        if isinstance(part, dict):
            inner = [(_path(path, name), item) for name, item in part.items()]
            if odd := [child for (child, _), name in zip(inner, part, strict=True) if not _is_text(name)]:
                return odd[0], "has half of a surrogate pair in its name"
            waiting += reversed(inner)
        elif isinstance(part, list):
            waiting += reversed([(f"{path}[{index}]", item) for index, item in enumerate(part)])
    return None, "is nested too deeply"


def _path(parent: str, name: str) -> str:
    if not (name.isidentifier() and name.isascii()):
        return f"{parent}[{name!a}]"
    return f"{parent}.{name}" if parent else name


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
