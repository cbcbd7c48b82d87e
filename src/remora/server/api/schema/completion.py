"""The body of POST /v1/completions."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from remora.errors import InvalidInput
from remora.server.api.schema.neutral import ANYBODYS, Neutral
from remora.server.api.schema.sampling import MOST_CHOICES, Sampling, TopLogprobs

DEFAULT_COMPLETION_TOKENS = 16  # the API's own default for /v1/completions
MOST_PROMPTS = 1024
HIGHEST_TOKEN_ID = 2**31 - 1

Prompt = str | list[int]
AnyPrompt = str | list[str] | list[int] | list[list[int]]


def _prompts(value: object) -> object:
    """A lone prompt, as text or as token ids, is a list of one."""
    if isinstance(value, str) or (isinstance(value, list) and value and _are_ids(value)):
        return [value]
    return value


def _are_ids(value: list[object]) -> bool:
    return all(isinstance(item, int) and not isinstance(item, bool) for item in value)


def _checked(prompts: list[object]) -> list[object]:
    # By hand, since the errors of a union name its members instead of the field.
    for index, prompt in enumerate(prompts):
        if not isinstance(prompt, str) and not (isinstance(prompt, list) and _are_ids(prompt)):
            raise ValueError(f"prompt {index} is neither text nor a list of token ids")
        if isinstance(prompt, list) and not all(0 <= token_id <= HIGHEST_TOKEN_ID for token_id in prompt):
            raise ValueError(f"prompt {index} has a number that is no token id")
        if not prompt:
            raise ValueError(f"prompt {index} is empty")
    return prompts


class CompletionRequest(Sampling):
    neutral: ClassVar[Neutral] = {**ANYBODYS, "suffix": ("",)}

    prompt: Annotated[
        list[object],
        Field(min_length=1, max_length=MOST_PROMPTS),
        BeforeValidator(_prompts, json_schema_input_type=AnyPrompt),
        AfterValidator(_checked),
    ]
    best_of: Annotated[int, Field(ge=1, le=MOST_CHOICES)] | None = None
    echo: bool | None = None
    logprobs: TopLogprobs | None = None
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    add_special_tokens: bool | None = None

    @model_validator(mode="after")
    def refuse_what_excludes_each_other(self) -> Self:
        if self.best_of is not None and self.best_of < self.choice_count:
            raise InvalidInput(
                f"best_of is {self.best_of}, but {self.choice_count} choices are wanted of them",
                hint="best_of must be at least n",
                param="best_of",
            )
        if self.stream and self.candidate_count > self.choice_count:
            raise InvalidInput(
                "the best of several answers is known only at the end, so it cannot be streamed",
                hint="leave out stream or best_of",
                param="best_of",
            )
        if self.max_tokens == 0 and not (self.echo or self.prompt_logprobs is not None):
            raise InvalidInput(
                "'max_tokens' is 0, and nothing of the prompt is asked for",
                hint="set echo, or ask for at least 1 token",
                param="max_tokens",
            )
        return self

    @property
    def plain_pieces(self) -> bool:
        """Whether a streamed piece of text has nothing beside it."""
        return self.logprobs is None and not self.return_token_ids and not self.wants_continuous_usage

    @property
    def scored(self) -> int | None:
        """How many of the likeliest tokens are wanted at each place of the prompt; None where none are."""
        wanted = [
            self.prompt_logprobs,
            self.logprobs if self.echo else None,
            0 if self.max_tokens == 0 else None,
        ]
        return max((count for count in wanted if count is not None), default=None)

    @property
    def prompts(self) -> list[Prompt]:
        return self.prompt  # type: ignore[return-value]  # _checked

    @property
    def candidate_count(self) -> int:
        """How many answers are made of each prompt."""
        return self.best_of or self.choice_count
