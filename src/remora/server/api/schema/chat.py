"""The body of POST /v1/chat/completions."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from remora.errors import InvalidInput
from remora.server.api.schema.body import Body, TextParts, fault, unsupported
from remora.server.api.schema.neutral import ANY, ANYBODYS, Neutral
from remora.server.api.schema.sampling import Limit, Sampling, TopLogprobs
from remora.server.api.schema.template import ConversationFields
from remora.server.api.schema.tools import CalledTool, Effort, ResponseFormat, ToolChoice, Tools
from remora.server.generation.template_variables import TemplateOptions
from remora.server.generation.turns import Turn, assistant_turn, tool_turn

LONGEST_NAME = 256


class ChatMessage(Body):
    """One turn of the conversation; SDKs send back the null fields of an earlier answer."""

    neutral: ClassVar[Neutral] = {
        "annotations": ([],),
        "audio": (),
        "cache_control": ANY,
        "function_call": (),
        "refusal": (),
    }

    role: Literal["system", "developer", "user", "assistant", "tool"]
    tool_calls: list[CalledTool] | None = None
    tool_call_id: str | None = None
    name: Annotated[str, Field(max_length=LONGEST_NAME)] | None = None
    reasoning_content: str | None = None
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
            raise fault("'tool_calls' belong to assistants' messages only", "tool_calls")
        if (self.tool_call_id is not None) != (self.role == "tool"):
            raise fault(
                "'tool_call_id' belongs to messages of the role tool, and to all of them", "tool_call_id"
            )
        return self

    def as_turn(self) -> Turn:
        """As chat templates know it: they have no developer, whose word is the system's."""
        text = "".join(part.text for part in self.content or ())
        told = {"name": self.name, "reasoning_content": self.reasoning_content}
        return {**self._turn(text), **{name: value for name, value in told.items() if value is not None}}

    def _turn(self, text: str) -> Turn:
        if self.tool_call_id is not None:
            return tool_turn(self.tool_call_id, text)
        if self.tool_calls:
            calls = ((call.id, call.function.name, call.function.arguments) for call in self.tool_calls)
            return assistant_turn(text, calls, param="messages")
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class ChatRequest(ConversationFields, Sampling):
    neutral: ClassVar[Neutral] = {
        **ANYBODYS,
        "audio": (),
        "documents": ([],),
        "chat_template": (),
        "echo": (False,),
        "add_special_tokens": (False,),
        "function_call": ("none",),
        "functions": ([],),
        "modalities": (["text"],),
        "prediction": (),
        "web_search_options": (),
    }

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    logprobs: bool | None = None
    max_completion_tokens: Limit | None = None
    max_tokens: Limit | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    include_reasoning: bool | None = None
    reasoning_effort: Effort | None = None
    tool_choice: ToolChoice | None = None
    tools: Tools | None = None
    top_logprobs: TopLogprobs | None = None
    best_of: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def refuse_a_choice_among_answers(self) -> Self:
        if self.best_of is not None and self.best_of != self.choice_count:
            raise unsupported("'best_of' other than n is not supported in a chat", "best_of")
        return self

    @model_validator(mode="before")
    @classmethod
    def refuse_two_limits(cls, body: Any) -> Any:
        limits = ("max_tokens", "max_completion_tokens")
        given = [body.get(name) for name in limits] if isinstance(body, dict) else [None]
        if None not in given and given[0] != given[1]:
            raise InvalidInput(
                "'max_tokens' and 'max_completion_tokens' are both given and differ",
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
    def template_options(self) -> TemplateOptions:
        return TemplateOptions(
            effort=self.reasoning_effort,
            thinks=self.enable_thinking,
            variables=self.chat_template_kwargs or {},
            generation_prompt=self.add_generation_prompt,
            continues=bool(self.continue_final_message),
        )

    @property
    def wanted_logprobs(self) -> int | None:
        """How many of the likeliest tokens; None where no log-probabilities are wanted."""
        return (self.top_logprobs or 0) if self.logprobs else None

    @property
    def plain_pieces(self) -> bool:
        """Whether a streamed piece of text has nothing beside it."""
        return not self.logprobs and not self.return_token_ids and not self.wants_continuous_usage

    @property
    def token_limit(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens
