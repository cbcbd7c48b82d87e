"""A question's prompt in tokens. Owns how turns, tools and limits become ids; asks no engine.

Slow for a long prompt: callers keep it off the event loop.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from remora.engine.base import Tokenizer
from remora.errors import InvalidInput
from remora.project.prompt_template import PromptTemplate
from remora.server.generation.answer_length import too_many_characters
from remora.server.generation.generic_tools import takes_system, told_in_words
from remora.server.generation.question import Question
from remora.server.generation.turns import character_count

# No tokenizer packs more into a token in earnest; what is longer is refused before it costs any work.
MOST_CHARACTERS_PER_TOKEN = 64


@dataclass(frozen=True, slots=True)
class Prompts:
    """`most_total_tokens` is what prompt and answer may have together."""

    context_length: int
    most_total_tokens: int
    _system_takers: WeakKeyDictionary[Tokenizer, bool] = field(default_factory=WeakKeyDictionary)

    def ids(
        self, question: Question, template: PromptTemplate | None, tokenizer: Tokenizer
    ) -> tuple[int, ...]:
        """Ids of the prompt: a conversation in the adapter's own template, else in that of the base."""
        if question.prompt_ids:
            return self._truncated(question.prompt_ids, question)
        characters = len(question.text) + sum(character_count(turn) for turn in question.turns)
        if characters > self.context_length * MOST_CHARACTERS_PER_TOKEN:
            raise too_many_characters(characters, self.most_total_tokens, question.prompt_param)
        if question.turns and template is not None:
            ids = tokenizer.encode(template.fill_from(question.turns))
        elif question.turns:
            ids = self._rendered(question, tokenizer)
        else:
            ids = tokenizer.encode(question.text, add_special_tokens=question.add_special_tokens)
        if not ids:
            raise InvalidInput("the prompt is empty", hint="send some text", param=question.prompt_param)
        return self._truncated(tuple(ids), question)

    def _truncated(self, ids: tuple[int, ...], question: Question) -> tuple[int, ...]:
        most = question.truncate_prompt_tokens
        if most is None:
            return ids
        if most == -1:
            most = max(1, self.most_total_tokens - (question.max_tokens or question.default_tokens or 1))
        return ids[-most:]

    def _rendered(self, question: Question, tokenizer: Tokenizer) -> list[int]:
        turns, tools = question.turns, question.tools
        if question.tools_in_words:
            turns, tools = told_in_words(turns, tools, in_system=self._takes_system(tokenizer)), ()
        return tokenizer.render_chat(
            turns, tools, question.template_variables, continued=question.continues_last
        )

    def _takes_system(self, tokenizer: Tokenizer) -> bool:
        known = self._system_takers.get(tokenizer)
        if known is None:
            known = self._system_takers[tokenizer] = takes_system(tokenizer)
        return known
