"""Functions that a model may call, and how its answer must look. Owns those fields for chat and responses."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from remora.errors import InvalidInput
from remora.server.schema.body import Body, Neutral, Text

MOST_TOOLS = 128

FunctionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
JsonSchema = dict[str, Any]
Mode = Literal["none", "auto", "required"]


class Function(Body):
    """What a function is called, what it does and which arguments it takes (a JSON schema)."""

    name: FunctionName
    description: Text | None = None
    parameters: JsonSchema | None = None
    strict: bool | None = None


class Tool(Body):
    type: Literal["function"]
    function: Function


Tools = Annotated[list[Tool], Field(max_length=MOST_TOOLS)]


class ChosenFunction(Body):
    name: FunctionName


class ChosenTool(Body):
    type: Literal["function"]
    function: ChosenFunction


class CalledFunction(Body):
    name: FunctionName
    arguments: Text


class CalledTool(Body):
    """A call of an earlier answer, as it is sent back."""

    neutral: ClassVar[Neutral] = {"index": tuple(range(MOST_TOOLS))}

    id: Annotated[str, Field(min_length=1, max_length=256)]
    type: Literal["function"]
    function: CalledFunction


class SchemaFormat(Body):
    """A JSON schema with a name. It is always kept to, whatever `strict` says."""

    name: FunctionName
    description: Text | None = None
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
