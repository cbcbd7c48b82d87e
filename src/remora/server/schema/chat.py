"""The body of POST /v1/chat/completions."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from remora.errors import InvalidInput
from remora.server.schema.body import Body, Neutral, TextParts
from remora.server.schema.sampling import Limit, Sampling, TopLogprobs
from remora.server.schema.tools import CalledTool, ChosenTool, Mode, ResponseFormat, Tools
from remora.server.turns import Turn, assistant_turn, tool_turn


class ChatMessage(Body):
    """One turn of the conversation; SDKs send back the null fields of an earlier answer."""

    neutral: ClassVar[Neutral] = {
        "annotations": ([],),
        "audio": (),
        "function_call": (),
        "name": (),
        "refusal": (),
    }

    role: Literal["system", "developer", "user", "assistant", "tool"]
    tool_calls: list[CalledTool] | None = None
    tool_call_id: str | None = None
    content: TextParts | None = Field(None, validate_default=True)

    @field_validator("content")
    @classmethod
    def content_needed(cls, content: object, info: ValidationInfo) -> object:
        if content is None and "role" in info.data and not info.data.get("tool_calls"):
            raise ValueError("a message needs content, unless it is an assistant's that calls tools")
        return content

    @model_validator(mode="after")
    def fields_of_the_role(self) -> Self:
        if self.tool_calls and self.role != "assistant":
            raise InvalidInput("in messages, 'tool_calls' belong to assistants only", param="messages")
        if (self.tool_call_id is not None) != (self.role == "tool"):
            raise InvalidInput(
                "in messages, 'tool_call_id' belongs to those of the role tool, and to all of them",
                param="messages",
            )
        return self

    def as_turn(self) -> Turn:
        """As chat templates know it: they have no developer, whose word is the system's."""
        text = "".join(part.text for part in self.content or ())
        if self.tool_call_id is not None:
            return tool_turn(self.tool_call_id, text)
        if self.tool_calls:
            calls = ((call.id, call.function.name, call.function.arguments) for call in self.tool_calls)
            return assistant_turn(text, calls, param="messages")
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class ChatRequest(Sampling):
    neutral: ClassVar[Neutral] = {
        "audio": (),
        "function_call": ("none",),
        "functions": ([],),
        "modalities": (["text"],),
        "moderation": (),
        "prediction": (),
        "prompt_cache_options": (),
        "prompt_cache_retention": (),
        "reasoning_effort": (),
        "service_tier": ("auto", "default"),
        "store": (False,),
        "verbosity": (),
        "web_search_options": (),
    }

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    logprobs: bool | None = None
    max_completion_tokens: Limit | None = None
    max_tokens: Limit | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    tool_choice: Mode | ChosenTool | None = None
    tools: Tools | None = None
    top_logprobs: TopLogprobs | None = None

    @model_validator(mode="before")
    @classmethod
    def refuse_two_limits(cls, body: Any) -> Any:
        limits = ("max_tokens", "max_completion_tokens")
        if isinstance(body, dict) and all(body.get(name) is not None for name in limits):
            raise InvalidInput(
                "'max_tokens' and 'max_completion_tokens' are both given",
                hint="send only max_completion_tokens",
                param="max_tokens",
            )
        return body

    @model_validator(mode="after")
    def refuse_top_without_logprobs(self) -> Self:
        if self.top_logprobs and not self.logprobs:
            raise InvalidInput(
                "'top_logprobs' is given without 'logprobs'",
                hint="set logprobs to true",
                param="top_logprobs",
            )
        return self

    @property
    def wanted_logprobs(self) -> int | None:
        """How many of the likeliest tokens; None where no log-probabilities are wanted."""
        return (self.top_logprobs or 0) if self.logprobs else None

    @property
    def token_limit(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def chosen_function(self) -> str | None:
        """The one function that must be called."""
        return self.tool_choice.function.name if isinstance(self.tool_choice, ChosenTool) else None
