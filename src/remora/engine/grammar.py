"""Grammars as token masks, by llguidance. Owns writing and compiling them and the limits of that.

JSON is written as Python's `json.dumps` writes it, one space after `:` and `,`, since that is what models
were trained on, and since free whitespace lets a small model write nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from llguidance import LLMatcher, LLParserLimits, LLTokenizer

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

Schema = Mapping[str, Any]


def json_grammar(schema: Schema) -> str:
    """A JSON value that matches this schema. Whether it is a schema shows when it is compiled."""
    return f"%llguidance {{}}\nstart: {_json(schema)}\n"


def call_grammar(functions: Mapping[str, Schema]) -> str:
    """One call of one of these functions (schemas of their arguments), as a JSON object and nothing else."""
    return f"%llguidance {{}}\nstart: {_alternatives(functions)}\n{_calls(functions)}"


def hermes_grammar(functions: Mapping[str, Schema]) -> str:
    """Any text, with any number of calls between `<tool_call>` and `</tool_call>` in it."""
    return (
        "%llguidance {}\n"
        "start: call* rest\n"
        "rest: TEXT\n"
        f'call: head "\\n" ({_alternatives(functions)}) "\\n</tool_call>"\n'
        'head[lazy]: TEXT "<tool_call>"\n'
        "TEXT: /(.|\\n)*/\n"
        f"{_calls(functions)}"
    )


def _alternatives(functions: Mapping[str, Schema]) -> str:
    return " | ".join(f"call_{index}" for index in range(len(functions)))


def _calls(functions: Mapping[str, Schema]) -> str:
    """A rule for each function, so that `#/$defs/…` in its schema means its own schema."""
    rules = ""
    for index, (name, schema) in enumerate(functions.items()):
        head = json.dumps(f'{{"name": {json.dumps(name)}, "arguments": ')
        rules += f'call_{index}: {head} arguments_{index} "}}"\narguments_{index}: {_json(schema)}\n'
    return rules


def _json(schema: Schema) -> str:
    return f"%json {json.dumps({**schema, 'x-guidance': SPACING})}"


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
    first_line = reason.strip().partition("\n")[0]
    return InvalidInput(f"this grammar cannot be kept to: {first_line}", hint="simplify the schema")
