"""The bodies of POST /v1/messages and /v1/messages/count_tokens, as Anthropic has them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from remora.engine.text.pieces import TextRules
from remora.server.api.schema.body import Body, RequestBody, TextParts, fault, unsupported
from remora.server.api.schema.message_blocks import AnthropicMessage
from remora.server.api.schema.neutral import ANY, Neutral
from remora.server.api.schema.sampling import (
    MOST_STOP_STRINGS,
    SEED_LIMIT,
    AdapterLayer,
    Limit,
    Scale,
    StopString,
    Temperature,
    TopK,
    TopP,
)
from remora.server.api.schema.tools import MOST_TOOLS, Choice, Function, FunctionName, JsonSchema
from remora.server.generation.template_variables import TemplateOptions

LEAST_BUDGET_TOKENS = 1024
USUAL_EFFORT = "high"  # Anthropic's default


class AnthropicTool(Body):
    """A function. Tools that Anthropic runs itself are no functions."""

    neutral: ClassVar[Neutral] = {
        "allowed_callers": (["direct"],),
        "cache_control": ANY,
        "defer_loading": (False,),
        "eager_input_streaming": ANY,
        "input_examples": ([],),
    }

    type: Literal["custom"] | None = None
    name: FunctionName
    description: str | None = None
    input_schema: JsonSchema
    strict: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def refuse_what_anthropic_runs(cls, tool: object) -> object:
        kind = tool.get("type") if isinstance(tool, dict) else None
        if isinstance(kind, str) and kind != "custom":
            raise unsupported(f"the tool {kind!r} is not supported: it is one that Anthropic runs")
        return tool

    @property
    def function(self) -> Function:
        return Function(
            name=self.name, description=self.description, parameters=self.input_schema, strict=self.strict
        )


class AnthropicToolChoice(Body):
    type: Literal["auto", "any", "tool", "none"]
    name: FunctionName | None = None
    disable_parallel_tool_use: bool | None = None

    @model_validator(mode="after")
    def name_where_it_belongs(self) -> Self:
        if (self.name is not None) != (self.type == "tool"):
            raise fault("'name' belongs to the type tool, and to each", "name")
        return self

    @property
    def choice(self) -> Choice:
        if self.name is not None:
            return Choice(function=self.name)
        return Choice("required" if self.type == "any" else self.type)


class Thinking(Body):
    """Whether to think, and whether to show it. A budget is no more than a wish, at Anthropic too."""

    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: Annotated[int, Field(ge=LEAST_BUDGET_TOKENS)] | None = None
    display: Literal["summarized", "omitted"] | None = None

    @model_validator(mode="after")
    def budget_where_it_belongs(self) -> Self:
        if (self.budget_tokens is not None) != (self.type == "enabled"):
            raise fault("'budget_tokens' belongs to the type enabled, and to each", "budget_tokens")
        return self


class OutputFormat(Body):
    """A JSON schema, which is kept to."""

    type: Literal["json_schema"]
    schema_: JsonSchema = Field(alias="schema")


class OutputConfig(Body):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: OutputFormat | None = None


class CountTokensRequest(RequestBody):
    """What a prompt is made of. Without `thinking` there is none, as far as the model can be told."""

    neutral: ClassVar[Neutral] = {
        "cache_control": ANY,
        "container": (),
        "context_management": (
            {"edits": []},
            {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        ),
        "diagnostics": ANY,
        "inference_geo": ANY,
        "mcp_servers": ([],),
        "service_tier": ("auto", "standard_only"),
        "speed": ("standard",),
        "user_profile_id": ANY,
        "workspace_id": ANY,
    }

    model: str
    messages: Annotated[list[AnthropicMessage], Field(min_length=1)]
    system: TextParts | None = None
    thinking: Thinking | None = None
    tool_choice: AnthropicToolChoice | None = None
    tools: Annotated[list[AnthropicTool], Field(max_length=MOST_TOOLS)] | None = None
    output_config: OutputConfig | None = None

    @property
    def functions(self) -> list[Function]:
        return [tool.function for tool in self.tools or ()]

    @property
    def choice(self) -> Choice:
        return self.tool_choice.choice if self.tool_choice else Choice()

    @property
    def is_parallel(self) -> bool:
        return self.tool_choice is None or not self.tool_choice.disable_parallel_tool_use

    @property
    def wanted_schema(self) -> JsonSchema | None:
        wanted = self.output_config.format if self.output_config else None
        return wanted.schema_ if wanted else None

    @property
    def continues(self) -> bool:
        """Whether the answer goes on from the last message."""
        return self.messages[-1].role == "assistant"

    @property
    def shows_thoughts(self) -> bool:
        return (
            self.thinking is not None
            and self.thinking.type != "disabled"
            and self.thinking.display != "omitted"
        )

    def template_options(self, *, switchable: bool) -> TemplateOptions:
        """`switchable` is whether the template can be told not to think."""
        kind = self.thinking.type if self.thinking else "disabled"
        thinks = True if kind == "enabled" else False if kind == "disabled" and switchable else None
        return TemplateOptions(
            effort=self.output_config.effort if self.output_config else None,
            effort_param="output_config.effort",
            usual_effort=USUAL_EFFORT,
            thinks=thinks,
            thinks_param="thinking",
            continues=self.continues,
        )


class Metadata(Body):
    """A label for its sender."""

    user_id: str | None = None


class MessagesRequest(CountTokensRequest):
    """Extensions: `seed`, `adapter_scale` and `adapter_without_layer`."""

    max_tokens: Limit
    metadata: Metadata | None = None
    stop_sequences: Annotated[list[StopString], Field(max_length=MOST_STOP_STRINGS)] | None = None
    stream: bool | None = None
    temperature: Temperature | None = None
    top_k: TopK | None = None
    top_p: TopP | None = None
    seed: Annotated[int, Field(ge=-SEED_LIMIT, lt=SEED_LIMIT)] | None = None
    adapter_scale: Scale | None = None
    adapter_without_layer: AdapterLayer | None = None

    @model_validator(mode="after")
    def budget_below_the_limit(self) -> Self:
        budget = self.thinking.budget_tokens if self.thinking else None
        if budget is not None and budget >= self.max_tokens:
            raise fault(f"its budget_tokens, {budget}, must be less than 'max_tokens'", "thinking")
        return self

    def sampling(self) -> dict[str, Any]:
        """The fields of a question, the API's defaults filled in."""
        return {
            "max_tokens": self.max_tokens,
            "temperature": 1.0 if self.temperature is None else self.temperature,
            "top_p": 1.0 if self.top_p is None else self.top_p,
            "top_k": self.top_k or 0,
            "seed": self.seed,
            "adapter_scale": 1.0 if self.adapter_scale is None else self.adapter_scale,
            "adapter_without_layer": self.adapter_without_layer,
            "text_rules": TextRules(tuple(self.stop_sequences or ())),
        }
