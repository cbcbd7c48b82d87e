"""The body of POST /v1/completions."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from remora.errors import InvalidInput
from remora.server.schema.body import Neutral, encodable
from remora.server.schema.sampling import MOST_CHOICES, Limit, Sampling, TopLogprobs

DEFAULT_COMPLETION_TOKENS = 16  # the API's own default for /v1/completions
MOST_PROMPTS = 16
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
        if isinstance(prompt, str):
            encodable(prompt)
        elif not (isinstance(prompt, list) and _are_ids(prompt)):
            raise ValueError(f"prompt {index} is neither text nor a list of token ids")
        elif not all(0 <= token_id <= HIGHEST_TOKEN_ID for token_id in prompt):
            raise ValueError(f"prompt {index} has a number that is no token id")
        if not prompt:
            raise ValueError(f"prompt {index} is empty")
    return prompts


class CompletionRequest(Sampling):
    neutral: ClassVar[Neutral] = {"suffix": ("",)}

    prompt: Annotated[
        list[object],
        Field(min_length=1, max_length=MOST_PROMPTS),
        BeforeValidator(_prompts, json_schema_input_type=AnyPrompt),
        AfterValidator(_checked),
    ]
    best_of: Annotated[int, Field(ge=1, le=MOST_CHOICES)] | None = None
    echo: bool | None = None
    logprobs: TopLogprobs | None = None
    max_tokens: Limit | None = None

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
        if self.echo and self.logprobs is not None:
            raise InvalidInput(
                "log-probabilities of the prompt are not computed",
                hint="leave out echo or logprobs",
                param="echo",
            )
        return self

    @property
    def prompts(self) -> list[Prompt]:
        return self.prompt  # type: ignore[return-value]  # _checked

    @property
    def candidate_count(self) -> int:
        """How many answers are made of each prompt."""
        return self.best_of or self.choice_count

    @property
    def token_limit(self) -> int:
        return DEFAULT_COMPLETION_TOKENS if self.max_tokens is None else self.max_tokens
