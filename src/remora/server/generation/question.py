"""A question, as every route and the chat page put it. Owns its fields; answers nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from remora.engine.base import Constraint, Tokenizer
from remora.engine.text.pieces import TextRules
from remora.server.generation.turns import Turn


@dataclass(frozen=True, slots=True)
class Question:
    """What to answer and how.

    `prompt_ids` are a prompt in tokens; without them `turns` are a conversation; without those `text` is a
    plain prompt. `tools` are OpenAI's. With `tools_in_words` they, calls and results are told in the way of
    `generic_tools`, else in that of the template. `template_variables` are more of what the template reads.
    Where it `continues_last`, the answer goes on from the last turn, which is the assistant's.
    `constraint` masks the tokens of `constraint_tokenizer`.

    `max_tokens` None means what fits, and no more than `default_tokens` where those are not 0. Of a longer
    prompt the last `truncate_prompt_tokens` are kept; -1 keeps what leaves room for the answer.
    `prompt_param` and `limit_param` are what the route calls the prompt and that limit, for errors.
    """

    model: str
    turns: Sequence[Turn] = ()
    text: str = ""
    prompt_ids: tuple[int, ...] = ()
    tools: Sequence[Mapping[str, Any]] = ()
    tools_in_words: bool = False
    template_variables: Mapping[str, Any] = field(default_factory=dict)
    continues_last: bool = False
    constraint: Constraint | None = None
    constraint_tokenizer: Tokenizer | None = None
    max_tokens: int | None = None
    default_tokens: int = 0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int | None = None
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    top_logprobs: int | None = None
    adapter_scale: float = 1.0
    adapter_without_layer: int | None = None
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    min_tokens: int = 0
    stop_token_ids: frozenset[int] = frozenset()
    ignore_eos: bool = False
    text_rules: TextRules = field(default_factory=TextRules)
    add_special_tokens: bool = True
    prompt_logprobs: int | None = None
    truncate_prompt_tokens: int | None = None
    prompt_param: str = "messages"
    limit_param: str = "max_tokens"
