"""The prompt that an adapter was trained with: a text with `{}` in place of the user's message.

Such an adapter was trained on single questions, so only the last user message of a conversation is used, as
in AI Toolkit's inference program. Does not tokenize.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Formatter

from remora.errors import InvalidInput

RULE = "one {} for the user's message, and {{ or }} for a literal brace"


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """The text before and after the user's message."""

    before: str
    after: str

    def fill(self, words: str) -> str:
        """The prompt for this message, exactly as `text.format(words)` returns it."""
        return f"{self.before}{words}{self.after}"

    def fill_from(self, turns: Sequence[Mapping[str, str]]) -> str:
        """The prompt for the last user message of a conversation. Raises InvalidInput if there is none."""
        asked = [turn["content"] for turn in turns if turn["role"] == "user"]
        if not asked:
            raise InvalidInput(
                "there is no user message, and this adapter's prompt template needs one",
                hint='send {"role": "user", "content": "…"}',
                param="messages",
            )
        return self.fill(asked[-1])


def parse_prompt_template(text: str) -> PromptTemplate:
    """Parse a text in the syntax of Python's `str.format`, with one positional field. Raises ValueError."""
    before, after, fields = "", "", 0
    for literal, field, spec, conversion in Formatter().parse(text):
        before, after = (before + literal, after) if not fields else (before, after + literal)
        if field is None:
            continue
        if field not in ("", "0") or spec or conversion:
            raise ValueError(f"{{{field}}} is not {{}}")
        fields += 1
    if fields != 1:
        raise ValueError(f"it has {fields} {{}} fields")
    return PromptTemplate(before, after)
