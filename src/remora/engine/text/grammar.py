"""Grammars as token masks, by llguidance. Owns writing and compiling them and the limits of that.

JSON is written as Python's `json.dumps` writes it, one space after `:` and `,`, since that is what models
were trained on, and since free whitespace lets a small model write nothing else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llguidance import LLMatcher, LLParserLimits, LLTokenizer

from remora.engine.base import ThoughtMarks
from remora.errors import InvalidInput

# A client writes the grammar, so what it may cost is bounded: at most about 100 ms of lexer, and a mask whose
# computation is cut off after some milliseconds (figures of llguidance's own documentation).
LIMITS = LLParserLimits(
    initial_lexer_fuel=2_000_000,
    step_lexer_fuel=200_000,
    step_max_items=50_000,
    max_lexer_states=50_000,
    max_grammar_size=200_000,
    verbose_errors=False,
)
SPACING = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}

UNKNOWN_KEYS = re.compile(r"Unimplemented keys: \[(.*?)\]")

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Arguments:
    """The schema of a call's arguments. Where it is not `exact`, what no grammar can keep to is left out."""

    schema: Schema
    exact: bool


@dataclass(frozen=True, slots=True)
class Thoughts:
    """How a model thinks before it answers: not at all where `marks` is None.

    `begun`: the prompt ends with the mark that opens thoughts.
    """

    marks: ThoughtMarks | None = None
    begun: bool = False


NO_THOUGHTS = Thoughts()


def json_grammar(schema: Schema, thoughts: Thoughts = NO_THOUGHTS) -> str:
    """A JSON value that matches this schema. Whether it is a schema shows when it is compiled."""
    return _grammar("answer", thoughts, answer=_json(schema))


def call_grammar(functions: Mapping[str, Arguments], thoughts: Thoughts = NO_THOUGHTS) -> str:
    """One call of one of these functions, as a JSON object and nothing else."""
    return _grammar(_any_call(functions), thoughts, **_calls(functions))


def hermes_grammar(
    functions: Mapping[str, Arguments],
    answer: Schema | None = None,
    thoughts: Thoughts = NO_THOUGHTS,
    *,
    several: bool = True,
) -> str:
    """Calls between `<tool_call>` and `</tool_call>` in any text; with `answer`, calls or such an answer."""
    call = f'"\\n" ({_any_call(functions)}) "\\n</tool_call>"'
    if answer is None:
        rules = {"call": f"head {call}", "head[lazy]": 'TEXT "<tool_call>"'}
        return _grammar("call* TEXT", thoughts, **rules, **_calls(functions))
    more = " more*" if several else ""
    rules = {"call": f'"<tool_call>" {call}', "more": "SEPARATOR call", "answer": _json(answer)}
    return _grammar(f"call{more} | answer", thoughts, SEPARATOR="/\\n?/", **rules, **_calls(functions))


def llama_grammar(
    functions: Mapping[str, Arguments], answer: Schema | None = None, thoughts: Thoughts = NO_THOUGHTS
) -> str:
    """An answer that is one call and nothing else, or text that is none, or an answer in this schema."""
    otherwise = {"answer": "PLAIN?" if answer is None else _json(answer)}
    start = f"{_any_call(functions)} | answer"
    calls = _calls(functions, arguments_name="parameters")
    return _grammar(start, thoughts, PLAIN=r"/[^{\s](.|\n)*/", **otherwise, **calls)


def _grammar(body: str, thoughts: Thoughts, **rules: str) -> str:
    """`body` after what the model may or must have thought; what it thinks is free."""
    start = "body"
    if thoughts.marks is not None:
        start = "thinking body" if thoughts.begun else "thought? body"
        rules |= {
            "thought": f"{json.dumps(thoughts.marks.open)} thinking",
            "thinking": "thoughts SPACE",
            "thoughts[lazy]": f"TEXT {json.dumps(thoughts.marks.close)}",
            "SPACE": r"/\s{0,4}/",
        }
    lines = {"start": start, "body": body, **rules, "TEXT": r"/(.|\n)*/"}
    return "%llguidance {}\n" + "".join(f"{name}: {rule}\n" for name, rule in lines.items())


def _any_call(functions: Mapping[str, Arguments]) -> str:
    return " | ".join(f"call_{index}" for index in range(len(functions)))


def _calls(functions: Mapping[str, Arguments], arguments_name: str = "arguments") -> dict[str, str]:
    """A rule for each function, so that `#/$defs/…` in its schema means its own schema."""
    rules = {}
    for index, (name, arguments) in enumerate(functions.items()):
        # Words as JSON's own: a longer one could hide that a value begins, for the lexer never goes back.
        words = ("{", '"name"', ": ", json.dumps(name), ", ", json.dumps(arguments_name), ": ")
        rules[f"call_{index}"] = f'{" ".join(map(json.dumps, words))} arguments_{index} "}}"'
        rules[f"arguments_{index}"] = _json(arguments.schema, lenient=not arguments.exact)
    return rules


def _json(schema: Schema, *, lenient: bool = False) -> str:
    options = {**SPACING, "lenient": True} if lenient else SPACING
    return f"%json {json.dumps({**schema, 'x-guidance': options})}"


class GrammarConstraint:
    """Keeps the Constraint contract."""

    def __init__(self, grammar: str, matcher: LLMatcher) -> None:
        self.grammar = grammar
        self._start = matcher
        self._matcher = matcher.deep_copy()

    def copy(self) -> GrammarConstraint:
        return GrammarConstraint(self.grammar, self._start)

    def mask(self) -> bytes:
        mask = self._matcher.compute_bitmask()
        if self._matcher.is_error():
            raise _refused(self._matcher.get_error())
        return mask

    def advance(self, token_id: int) -> bool:
        if not self._matcher.consume_token(token_id):
            raise _refused(self._matcher.get_error())
        return self._matcher.is_stopped()

    def accepted(self, token_ids: list[int]) -> int:
        """How many of these tokens could come next, one after the other; takes none of them."""
        return self._matcher.validate_tokens(token_ids)


def compile_grammar(tokenizer: LLTokenizer, grammar: str) -> GrammarConstraint:
    """A constraint at its beginning. Raises InvalidInput, without a `param`."""
    matcher = LLMatcher(tokenizer, grammar, log_level=0, limits=LIMITS)
    if matcher.is_error():
        raise _refused(matcher.get_error())
    return GrammarConstraint(grammar, matcher)


def _refused(reason: str) -> InvalidInput:
    if keys := UNKNOWN_KEYS.search(reason):
        names = keys[1].replace('"', "'")
        return InvalidInput(
            f"the schema uses {names}, which no grammar here can keep to", hint="leave that out of the schema"
        )
    first_line = reason.strip().partition("\n")[0]
    return InvalidInput(f"this grammar cannot be kept to: {first_line}", hint="simplify the schema")
