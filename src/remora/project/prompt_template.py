"""The prompt that an adapter was trained with: a text with `{}` where the user's words stand.

Such an adapter knows single questions only, so of a conversation the last user message is used and nothing
else, as in AI Toolkit's inference program. Knows no tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import Formatter

from remora.errors import InvalidInput

RULE = "one {} for the user's words, and {{ or }} for a brace itself"


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """What stands before and after the user's words."""

    before: str
    after: str

    def fill(self, words: str) -> str:
        """The prompt for these words, exactly as `text.format(words)` makes it."""
        return f"{self.before}{words}{self.after}"

    def fill_from(self, turns: Sequence[Mapping[str, str]]) -> str:
        """The prompt for a conversation: that of its last user message. Raises InvalidInput without one."""
        asked = [turn["content"] for turn in turns if turn["role"] == "user"]
        if not asked:
            raise InvalidInput(
                "there is no user message, and this adapter's prompt template needs one",
                hint='send {"role": "user", "content": "…"}',
                param="messages",
            )
        return self.fill(asked[-1])


def parse_prompt_template(text: str) -> PromptTemplate:
    """A text as Python's `str.format` understands it, with one positional field. Raises ValueError."""
    before, after, fields = "", "", 0
    for literal, field, spec, conversion in Formatter().parse(text):
        before, after = (before + literal, after) if not fields else (before, after + literal)
        if field is None:
            continue
        if field not in ("", "0") or spec or conversion:
            raise ValueError(f"{{{field}}} is not {{}}")
        fields += 1
    if fields != 1:
        raise ValueError(f"it has {fields} of {{}}")
    return PromptTemplate(before, after)
