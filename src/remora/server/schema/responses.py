"""The body of POST /v1/responses: items in, and how they become the turns of a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self, TypedDict

from pydantic import BeforeValidator, Field, model_validator

from remora.errors import InvalidInput
from remora.server.schema.body import Body, Neutral, Text
from remora.server.schema.sampling import Limit, Penalty, Scale, Temperature, TopK, TopLogprobs, TopP
from remora.server.schema.tools import MOST_TOOLS, Function, FunctionName, JsonSchema, Mode
from remora.server.turns import Turn, assistant_turn, tool_turn

LOGPROBS = "message.output_text.logprobs"


class ItemPart(Body):
    """A piece of text of a message; what an earlier answer had beside it is not read."""

    neutral: ClassVar[Neutral] = {"annotations": ([],), "logprobs": ([],)}

    type: Literal["input_text", "output_text"]
    text: Text


def _parts(value: object) -> object:
    return [{"type": "input_text", "text": value}] if isinstance(value, str) else value


ItemParts = Annotated[list[ItemPart], BeforeValidator(_parts, json_schema_input_type=str | list[ItemPart])]


class InputItem(Body):
    """A message, a call that the model made, or what a call gave. `id`, `status`, `phase` are labels only."""

    type: Literal["message", "function_call", "function_call_output"] = "message"
    role: Literal["user", "assistant", "system", "developer"] | None = None
    content: ItemParts | None = None
    call_id: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    name: FunctionName | None = None
    arguments: Text | None = None
    output: ItemParts | None = None
    id: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None
    phase: Literal["commentary", "final_answer"] | None = None

    @model_validator(mode="after")
    def fields_of_the_type(self) -> Self:
        fields = {name for names in ITEM_FIELDS.values() for name in names}
        given = {name for name in fields if getattr(self, name) is not None}
        if given != ITEM_FIELDS[self.type]:
            wanted = ", ".join(sorted(ITEM_FIELDS[self.type]))
            raise InvalidInput(
                f"an item of the type {self.type!r} needs these and no others: {wanted}", param="input"
            )
        return self


def _items(value: object) -> object:
    """Text is what the user says."""
    return [{"role": "user", "content": value}] if isinstance(value, str) and value else value


ITEM_FIELDS: dict[str, set[str]] = {
    "message": {"role", "content"},
    "function_call": {"call_id", "name", "arguments"},
    "function_call_output": {"call_id", "output"},
}


def turns_of(items: Sequence[InputItem]) -> list[Turn]:
    """The conversation; calls that follow each other are one turn of the assistant."""
    turns: list[Turn] = []
    calls: list[tuple[str, str, str]] = []
    for item in items:
        if item.type == "function_call":
            calls.append((item.call_id or "", item.name or "", item.arguments or ""))
            continue
        if calls:
            turns.append(assistant_turn("", calls, param="input"))
            calls = []
        turns.append(_turn(item))
    return [*turns, assistant_turn("", calls, param="input")] if calls else turns


def _turn(item: InputItem) -> Turn:
    if item.type == "function_call_output":
        return tool_turn(item.call_id or "", _text(item.output))
    role = "system" if item.role == "developer" else item.role
    return {"role": role, "content": _text(item.content)}


def _text(parts: Sequence[ItemPart] | None) -> str:
    return "".join(part.text for part in parts or ())


class FunctionTool(Body):
    """As chat's, but flat."""

    type: Literal["function"]
    name: FunctionName
    description: Text | None = None
    parameters: JsonSchema | None = None
    strict: bool | None = None

    @property
    def function(self) -> Function:
        return Function.model_validate(self.model_dump(exclude={"type"}))


class ChosenFunctionTool(Body):
    type: Literal["function"]
    name: FunctionName


class TextFormat(Body):
    """A JSON schema is always kept to, whatever `strict` says."""

    type: Literal["text", "json_object", "json_schema"]
    name: FunctionName | None = None
    description: Text | None = None
    schema_: JsonSchema | None = Field(None, alias="schema")
    strict: bool | None = None

    @model_validator(mode="after")
    def schema_where_it_belongs(self) -> Self:
        if (self.type == "json_schema") != (self.schema_ is not None and self.name is not None):
            raise InvalidInput(
                "the text.format has a type and a schema that do not belong together",
                hint='send {"type": "json_schema", "name": …, "schema": …}',
                param="text.format",
            )
        return self

    @property
    def wanted_schema(self) -> JsonSchema | None:
        """The schema that the answer must match; None where any text will do."""
        return None if self.type == "text" else self.schema_ or {"type": "object"}


class TextConfig(Body):
    neutral: ClassVar[Neutral] = {"verbosity": ("medium",)}

    format: TextFormat | None = None


class ResponseStreamOptions(Body):
    neutral: ClassVar[Neutral] = {"include_obfuscation": (False,)}


class ResponseSampling(TypedDict):
    """Part of a question, as keyword arguments."""

    model: str
    max_tokens: int | None
    temperature: float
    top_p: float
    top_k: int
    seed: int | None
    frequency_penalty: float
    presence_penalty: float
    adapter_scale: float
    top_logprobs: int | None


class ResponseRequest(Body):
    """Extensions: `top_k`, `seed`, `adapter_scale`, and the penalties of the Open Responses specification."""

    neutral: ClassVar[Neutral] = {
        "background": (False,),
        "context_management": (),
        "conversation": (),
        "max_tool_calls": (),
        "moderation": (),
        "prompt": (),
        "prompt_cache_options": (),
        "prompt_cache_retention": (),
        "reasoning": ({}, {"effort": None}, {"effort": "none"}, {"effort": None, "summary": None}),
        "service_tier": ("auto", "default"),
        "truncation": ("disabled",),
    }

    model: str
    input: Annotated[
        list[InputItem],
        Field(min_length=1),
        BeforeValidator(_items, json_schema_input_type=str | list[InputItem]),
    ]
    include: list[Literal["message.output_text.logprobs", "reasoning.encrypted_content"]] | None = None
    instructions: Text | None = None
    max_output_tokens: Limit | None = None
    metadata: dict[str, str] | None = None
    parallel_tool_calls: bool | None = None
    previous_response_id: str | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: ResponseStreamOptions | None = None
    temperature: Temperature | None = None
    text: TextConfig | None = None
    tool_choice: Mode | ChosenFunctionTool | None = None
    tools: Annotated[list[FunctionTool], Field(max_length=MOST_TOOLS)] | None = None
    top_logprobs: TopLogprobs | None = None
    top_p: TopP | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    top_k: TopK | None = None
    adapter_scale: Scale | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None

    def turns(self) -> list[Turn]:
        """The conversation of `input` alone. Raises InvalidInput."""
        return turns_of(self.input)

    @property
    def wanted_logprobs(self) -> int | None:
        """How many of the likeliest tokens; None where no log-probabilities are wanted."""
        if self.top_logprobs or LOGPROBS in (self.include or ()):
            return self.top_logprobs or 0
        return None

    def sampling(self) -> ResponseSampling:
        """The fields of a question that are the same by name or nearly so, the API's defaults filled in."""
        return {
            "model": self.model,
            "max_tokens": self.max_output_tokens,
            "temperature": 1.0 if self.temperature is None else self.temperature,
            "top_p": 1.0 if self.top_p is None else self.top_p,
            "top_k": self.top_k or 0,
            "seed": self.seed,
            "frequency_penalty": self.frequency_penalty or 0.0,
            "presence_penalty": self.presence_penalty or 0.0,
            "adapter_scale": 1.0 if self.adapter_scale is None else self.adapter_scale,
            "top_logprobs": self.wanted_logprobs,
        }

    def settings(self) -> dict[str, Any]:
        """The fields of the request that a response shows again, with the defaults that were used."""
        text = self.text.format if self.text and self.text.format else None
        return {
            "background": False,
            "frequency_penalty": self.frequency_penalty or 0.0,
            "instructions": self.instructions,
            "max_output_tokens": self.max_output_tokens,
            "max_tool_calls": None,
            "metadata": self.metadata or {},
            "model": self.model,
            "parallel_tool_calls": self.parallel_tool_calls is not False,
            "presence_penalty": self.presence_penalty or 0.0,
            "previous_response_id": self.previous_response_id,
            "prompt_cache_key": self.prompt_cache_key,
            "reasoning": {"effort": None, "summary": None},
            "safety_identifier": self.safety_identifier,
            "service_tier": "default",
            "store": self.store is not False,
            "temperature": 1.0 if self.temperature is None else self.temperature,
            "text": {"format": _shown_format(text)},
            "tool_choice": _shown_choice(self.tool_choice),
            "tools": [_shown_tool(tool) for tool in self.tools or ()],
            "top_logprobs": self.top_logprobs or 0,
            "top_p": 1.0 if self.top_p is None else self.top_p,
            "truncation": "disabled",
            **({} if self.user is None else {"user": self.user}),
        }


def _shown_format(text: TextFormat | None) -> dict[str, Any]:
    if text is None or text.type != "json_schema":
        return {"type": "text" if text is None else text.type}
    return {
        "type": text.type,
        "name": text.name,
        "description": text.description or "",
        "schema": text.schema_,
        "strict": text.strict is not False,
    }


def _shown_choice(choice: str | ChosenFunctionTool | None) -> object:
    return choice.model_dump() if isinstance(choice, ChosenFunctionTool) else choice or "auto"


def _shown_tool(tool: FunctionTool) -> dict[str, Any]:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": bool(tool.strict),
    }
