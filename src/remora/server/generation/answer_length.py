"""How many tokens an answer may have. Owns the limits, and OpenAI's words for what does not fit.

Clients look for these words and this code: frameworks shorten the conversation or take a larger model then.
"""

from __future__ import annotations

from dataclasses import dataclass

from remora.errors import ContextLengthExceeded, InvalidInput


@dataclass(frozen=True, slots=True)
class TokenLimits:
    """How long a prompt, both together, and an answer may be; 0 is what the model's context holds."""

    prompt: int = 0
    total: int = 0
    answer: int = 0


@dataclass(frozen=True, slots=True)
class AnswerLength:
    """How long an answer a request asks for; `most` None is whatever fits, or `usual` tokens of it.

    `prompt_param` and `limit_param` are what the route calls the prompt and the limit.
    """

    most: int | None
    least: int
    usual: int
    prompt_param: str
    limit_param: str


def max_answer_tokens(
    prompt_tokens: int, asked: AnswerLength, limits: TokenLimits, context_tokens: int
) -> int:
    """How many tokens the answer may have. Raises ContextLengthExceeded or InvalidInput."""
    free = context_tokens - prompt_tokens
    if limits.prompt and prompt_tokens > limits.prompt:
        raise _prompt_too_long(limits.prompt, prompt_tokens, asked)
    if free < (0 if asked.most == 0 else 1):
        raise _prompt_too_long(context_tokens, prompt_tokens, asked)
    if asked.most is not None and asked.most > free:
        raise ContextLengthExceeded(
            f"This model's maximum context length is {context_tokens} tokens. However, you requested "
            f"{prompt_tokens + asked.most} tokens ({prompt_tokens} in the {asked.prompt_param}, {asked.most} "
            f"in the completion). Please reduce the length of the {asked.prompt_param} or completion.",
            param=asked.limit_param,
        )
    if asked.most is not None and 0 < limits.answer < asked.most:
        raise InvalidInput(
            f"{asked.limit_param} is too large: {asked.most}. This endpoint gives at most {limits.answer} "
            "completion tokens",
            param=asked.limit_param,
        )
    most = min(free, asked.usual or free, limits.answer or free) if asked.most is None else asked.most
    if asked.least > most:
        raise InvalidInput(
            f"'min_tokens' is {asked.least}, but the answer may have {most} tokens", param="min_tokens"
        )
    return most


def too_many_characters(characters: int, context_tokens: int, param: str) -> ContextLengthExceeded:
    """For a prompt that is refused before it is counted in tokens."""
    return ContextLengthExceeded(
        f"This model's maximum context length is {context_tokens} tokens. However, your {param} has "
        f"{characters} characters, far more than fit. Please reduce the length of the {param}.",
        param=param,
    )


def _prompt_too_long(most: int, prompt_tokens: int, asked: AnswerLength) -> ContextLengthExceeded:
    return ContextLengthExceeded(
        f"This model's maximum context length is {most} tokens. However, your {asked.prompt_param} resulted "
        f"in {prompt_tokens} tokens. Please reduce the length of the {asked.prompt_param}.",
        param=asked.prompt_param,
    )
