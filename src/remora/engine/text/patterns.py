"""Grammars of answers that are no JSON: a pattern, one of several texts, or a grammar of the client's own.

Owns their notation for llguidance (a Lark of its own); compiles nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from llguidance.gbnf_to_lark import any_to_lark

from remora.errors import InvalidInput

MOST_REPETITIONS = 20_000  # compiled in tenths of a second; ten times as many take seconds

_HEADER = "%llguidance {}\n"
_BARE_SLASH = re.compile(r"(\\.)|/", re.DOTALL)
_SIGNS = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{(\d+)?,?(\d+)?\}|[()]|.", re.DOTALL)


def regex_grammar(pattern: str) -> str:
    """Text that matches the whole of this pattern. Raises InvalidInput where it repeats too much."""
    check_repetitions(pattern)
    escaped = _BARE_SLASH.sub(lambda found: found[1] or r"\/", pattern).replace("\n", r"\n")
    return f"{_HEADER}start: /{escaped}/\n"


def check_repetitions(pattern: str) -> None:
    """Raises InvalidInput where repetitions in each other make a pattern far larger than it looks."""
    sizes, last = [0], 0  # of the groups that are open, and of the last part
    for sign in _SIGNS.finditer(pattern):
        text, low, high = sign[0], sign[1], sign[2]
        if text == "(":
            sizes.append(0)
            last = 0
        elif text == ")" and len(sizes) > 1:
            last = sizes.pop()
            sizes[-1] += last
        elif low or high:
            count = max(int((low or "0")[:9]), int((high or "0")[:9]))
            sizes[-1] += last * (count - 1)
            last *= count
        else:
            last = 1
            sizes[-1] += 1
        if sizes[-1] > MOST_REPETITIONS:
            raise InvalidInput(
                f"this pattern repeats its parts more than {MOST_REPETITIONS} times", hint="simplify it"
            )


def choice_grammar(options: Sequence[str]) -> str:
    """One of these texts."""
    return f"{_HEADER}start: {' | '.join(map(json.dumps, dict.fromkeys(options)))}\n"


def written_grammar(text: str) -> str:
    """A grammar as clients write it: in Lark, or in llama.cpp's GBNF. Raises InvalidInput."""
    try:
        lark: str = any_to_lark(text)
    except Exception as error:  # the converter is a parser of somebody's text, and raises anything
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise InvalidInput(
            f"this grammar cannot be read: {reason}", hint="write it in Lark or GBNF"
        ) from error
    return lark if lark.lstrip().startswith("%llguidance") else f"{_HEADER}{lark}\n"
