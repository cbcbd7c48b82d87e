"""Functions that a model may call, and how its answer must look. Owns those fields for chat and responses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from remora.errors import InvalidInput
from remora.server.api.schema.body import Body
from remora.server.api.schema.neutral import ANY, Neutral

MOST_TOOLS = 128

FunctionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")]  # 64 at OpenAI, 128 at Anthropic
JsonSchema = dict[str, Any]
Mode = Literal["none", "auto", "required"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class Function(Body):
    """What a function is called, what it does and which arguments it takes (a JSON schema)."""

    name: FunctionName
    description: str | None = None
    parameters: JsonSchema | None = None
    strict: bool | None = None


class Tool(Body):
    neutral: ClassVar[Neutral] = {"cache_control": ANY}

    type: Literal["function"]
    function: Function


Tools = Annotated[list[Tool], Field(max_length=MOST_TOOLS)]


class ChosenFunction(Body):
    name: FunctionName


class ChosenTool(Body):
    type: Literal["function"]
    function: ChosenFunction


class AllowedChoice(Body):
    mode: Literal["auto", "required"]
    tools: Annotated[list[ChosenTool], Field(min_length=1, max_length=MOST_TOOLS)]


class AllowedTools(Body):
    """Only these of the tools may be called: the model is told of no others."""

    type: Literal["allowed_tools"]
    allowed_tools: AllowedChoice


ToolChoice = Mode | ChosenTool | AllowedTools


@dataclass(frozen=True, slots=True)
class Choice:
    """OpenAI's tool_choice: `function` must be called; of `allowed` alone the model is told."""

    mode: str = "auto"
    function: str | None = None
    allowed: frozenset[str] | None = None


def choice_of(wanted: ToolChoice | None) -> Choice:
    """What a chat request chooses."""
    if isinstance(wanted, ChosenTool):
        return Choice(function=wanted.function.name)
    if isinstance(wanted, AllowedTools):
        allowed = wanted.allowed_tools
        return Choice(allowed.mode, allowed=frozenset(tool.function.name for tool in allowed.tools))
    return Choice(wanted or "auto")


class CalledFunction(Body):
    name: FunctionName
    arguments: str


class CalledTool(Body):
    """A call of an earlier answer, as it is sent back."""

    neutral: ClassVar[Neutral] = {"index": tuple(range(MOST_TOOLS))}

    id: Annotated[str, Field(min_length=1, max_length=256)]
    type: Literal["function"]
    function: CalledFunction


class SchemaFormat(Body):
    """A JSON schema with a name. It is always kept to, whatever `strict` says."""

    name: FunctionName
    description: str | None = None
    schema_: JsonSchema | None = Field(None, alias="schema")
    strict: bool | None = None


class ResponseFormat(Body):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: SchemaFormat | None = None

    @model_validator(mode="after")
    def schema_where_it_belongs(self) -> ResponseFormat:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise InvalidInput(
                "the response_format has a type and a json_schema that do not belong together",
                hint='send {"type": "json_schema", "json_schema": {"name": …, "schema": …}}',
                param="response_format",
            )
        return self

    @property
    def wanted_schema(self) -> JsonSchema | None:
        """The schema that the answer must match; None where any text will do."""
        if self.type == "text":
            return None
        if self.json_schema is None:
            return {"type": "object"}
        return self.json_schema.schema_ or {"type": "object"}
