"""The body of POST /v1/responses: items in, and how they become the turns of a conversation."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self, TypedDict

from pydantic import BeforeValidator, Field, model_validator

from remora.errors import InvalidInput, UnsupportedParameter
from remora.server.api.schema.body import Body, RequestBody
from remora.server.api.schema.neutral import Neutral
from remora.server.api.schema.response_items import InputItem, items_of
from remora.server.api.schema.sampling import (
    AdapterLayer,
    Limit,
    Penalty,
    Scale,
    Temperature,
    TopK,
    TopLogprobs,
    TopP,
)
from remora.server.api.schema.template import TemplateFields
from remora.server.api.schema.tools import (
    MOST_TOOLS,
    Choice,
    Effort,
    Function,
    FunctionName,
    JsonSchema,
    Mode,
)
from remora.server.generation.template_variables import TemplateOptions

LOGPROBS = "message.output_text.logprobs"


class FunctionTool(Body):
    """As chat's, but flat."""

    neutral: ClassVar[Neutral] = {"defer_loading": (False,)}

    type: Literal["function"]
    name: FunctionName
    description: str | None = None
    parameters: JsonSchema | None = None
    strict: bool | None = None

    @property
    def function(self) -> Function:
        return Function.model_validate(self.model_dump(exclude={"type"}))


class ResponseTool(Body):
    """A function, a namespace of functions, or a web search that reads no web, which is never called."""

    neutral: ClassVar[Neutral] = {"defer_loading": (False,), "external_web_access": (False,)}

    type: Literal["function", "namespace", "web_search"]
    name: FunctionName | None = None
    description: str | None = None
    parameters: JsonSchema | None = None
    strict: bool | None = None
    tools: Annotated[list[FunctionTool], Field(max_length=MOST_TOOLS)] | None = None

    @model_validator(mode="before")
    @classmethod
    def search_of_nothing(cls, tool: object) -> object:
        """Codex sends its search whether or not it may read the web."""
        if not isinstance(tool, dict) or tool.get("type") != "web_search":
            return tool
        if tool.get("external_web_access") is not False:
            raise UnsupportedParameter(
                "the tool 'web_search' is not supported: this endpoint reads no web",
                hint='leave it out (in Codex: web_search = "disabled")',
                param="tools",
            )
        return {"type": "web_search"}

    @model_validator(mode="after")
    def fields_of_the_type(self) -> Self:
        if (self.name is None) != (self.type == "web_search"):
            raise InvalidInput(f"a tool of the type {self.type!r} needs a name", param="tools")
        if (self.tools is not None) != (self.type == "namespace"):
            raise InvalidInput("'tools' of a tool belong to a namespace, and to each", param="tools")
        return self

    @property
    def functions(self) -> list[Function]:
        if self.type == "namespace":
            return [tool.function for tool in self.tools or ()]
        if self.name is None:
            return []
        fields = self.model_dump(include={"name", "description", "parameters", "strict"})
        return [Function.model_validate(fields)]


class ChosenFunctionTool(Body):
    type: Literal["function"]
    name: FunctionName


class AllowedFunctionTools(Body):
    """Only these of the tools may be called: the model is told of no others."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: Annotated[list[ChosenFunctionTool], Field(min_length=1, max_length=MOST_TOOLS)]


class Reasoning(Body):
    """How much to think. Thoughts are shown as they are, and never summed up."""

    neutral: ClassVar[Neutral] = {"generate_summary": ("auto",)}

    effort: Effort | None = None
    summary: Literal["auto"] | None = None


class TextFormat(Body):
    """A JSON schema is always kept to, whatever `strict` says."""

    type: Literal["text", "json_object", "json_schema"]
    name: FunctionName | None = None
    description: str | None = None
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
    adapter_without_layer: int | None
    top_logprobs: int | None


class ResponseRequest(TemplateFields, RequestBody):
    """Extensions: `top_k`, `seed`, `adapter_scale`, `adapter_without_layer`, and the penalties of the Open
    Responses specification.
    """

    neutral: ClassVar[Neutral] = {
        "background": (False,),
        "context_management": (),
        "conversation": (),
        "max_tool_calls": (),
        "moderation": (),
        "prompt": (),
        "prompt_cache_options": (),
        "prompt_cache_retention": (),
        "service_tier": ("auto", "default"),
        "truncation": ("disabled",),
    }

    model: str
    input: Annotated[
        list[InputItem],
        Field(min_length=1),
        BeforeValidator(items_of, json_schema_input_type=str | list[InputItem]),
    ]
    include: list[Literal["message.output_text.logprobs", "reasoning.encrypted_content"]] | None = None
    instructions: str | None = None
    max_output_tokens: Limit | None = None
    metadata: dict[str, str] | None = None
    parallel_tool_calls: bool | None = None
    previous_response_id: str | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: ResponseStreamOptions | None = None
    temperature: Temperature | None = None
    text: TextConfig | None = None
    reasoning: Reasoning | None = None
    tool_choice: Mode | ChosenFunctionTool | AllowedFunctionTools | None = None
    tools: Annotated[list[ResponseTool], Field(max_length=MOST_TOOLS)] | None = None
    top_logprobs: TopLogprobs | None = None
    top_p: TopP | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    top_k: TopK | None = None
    adapter_scale: Scale | None = None
    adapter_without_layer: AdapterLayer | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    client_metadata: dict[str, str] | None = None

    @property
    def functions(self) -> list[Function]:
        return [function for tool in self.tools or () for function in tool.functions]

    @property
    def namespaces(self) -> dict[str, str]:
        """The namespace of each function that has one."""
        return {
            each.name: tool.name
            for tool in self.tools or ()
            if tool.type == "namespace" and tool.name
            for each in tool.functions
        }

    @property
    def template_options(self) -> TemplateOptions:
        return TemplateOptions(
            effort=self.reasoning.effort if self.reasoning else None,
            effort_param="reasoning.effort",
            thinks=self.enable_thinking,
            variables=self.chat_template_kwargs or {},
        )

    @property
    def choice(self) -> Choice:
        wanted = self.tool_choice
        if isinstance(wanted, ChosenFunctionTool):
            return Choice(function=wanted.name)
        if isinstance(wanted, AllowedFunctionTools):
            return Choice(wanted.mode, allowed=frozenset(tool.name for tool in wanted.tools))
        return Choice(wanted or "auto")

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
            "adapter_without_layer": self.adapter_without_layer,
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
            "reasoning": (self.reasoning or Reasoning()).model_dump(),
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


def _shown_choice(choice: str | Body | None) -> object:
    return choice.model_dump() if isinstance(choice, Body) else choice or "auto"


def _shown_tool(tool: ResponseTool | FunctionTool) -> dict[str, Any]:
    if isinstance(tool, ResponseTool) and tool.type != "function":
        shown = {"type": tool.type, "name": tool.name, "description": tool.description}
        nested = {} if tool.tools is None else {"tools": [_shown_tool(each) for each in tool.tools]}
        return {name: value for name, value in shown.items() if value is not None} | nested
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": bool(tool.strict),
    }
