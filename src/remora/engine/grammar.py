"""Grammars as token masks, by llguidance. Owns compiling and its limits; knows nothing of requests."""

from __future__ import annotations

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
