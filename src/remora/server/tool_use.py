"""What the tools and the format of a request ask of its answer. Owns that decision, for chat and responses.

A function that must be called, and a response format, are kept to by a grammar. Where the model may call, its
template teaches it how, and a grammar guards only the arguments of `strict` functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from remora.engine.base import Constraint, ToolFormat
from remora.engine.grammar import call_grammar, hermes_grammar, json_grammar
from remora.errors import InvalidInput, UnsupportedParameter
from remora.server.constraints import Constraints
from remora.server.schema.tools import Function
from remora.server.tool_calls import CallReader

Schema = Mapping[str, Any]
NO_ARGUMENTS: Schema = {"type": "object", "properties": {}, "additionalProperties": False}


@dataclass(frozen=True, slots=True)
class ToolUse:
    """`mode` is OpenAI's tool_choice; `chosen` the one function that must be called, where one was named."""

    functions: Sequence[Function]
    mode: str
    chosen: str | None
    parallel: bool
    schema: Schema | None  # of the whole answer
    schema_param: str

    @property
    def forced(self) -> bool:
        return self.mode == "required" or self.chosen is not None

    @property
    def may_call(self) -> bool:
        return bool(self.functions) and (self.forced or self.mode == "auto")

    def check(self, form: ToolFormat | None) -> None:
        """Refuse what a model with this tool format cannot do."""
        names = [function.name for function in self.functions]
        if len(set(names)) < len(names):
            raise InvalidInput("two functions have the same name", param="tools")
        if self.forced and not names:
            raise InvalidInput("tool_choice requires a call, but there are no tools", param="tool_choice")
        if self.chosen is not None and self.chosen not in names:
            raise InvalidInput(
                f"tool_choice names {self.chosen!r}, which is not among the tools", param="tool_choice"
            )
        if self.forced and self.schema is not None:
            raise InvalidInput(
                f"{self.schema_param!r} and a required call exclude each other",
                hint="leave one of them out",
                param=self.schema_param,
            )
        if not self.may_call or self.forced:
            return
        if form is None:
            raise UnsupportedParameter(
                "the parameter 'tools' is not supported: this model's chat template knows no tools",
                hint="require a call with tool_choice, or leave them out",
                param="tools",
            )
        if self.schema is not None:
            raise UnsupportedParameter(
                f"{self.schema_param!r} together with tools that may be called is not supported",
                hint="set tool_choice to none or required",
                param=self.schema_param,
            )
        if form is not ToolFormat.HERMES and any(function.strict for function in self.functions):
            raise UnsupportedParameter(
                "'strict' functions that may be called are not supported with this model's way of calling",
                hint="set tool_choice to required",
                param="tools",
            )

    async def constraint(self, constraints: Constraints) -> Constraint | None:
        """What the answer must keep to. Raises InvalidInput, naming the field with the schema at fault."""
        if self.may_call:
            wanted = [each for each in self.functions if self.chosen in (None, each.name)]
            if not self.forced and not any(each.strict for each in wanted):
                return None
            schemas = {each.name: _arguments(each, exact=self.forced) for each in wanted}
            grammar = call_grammar if self.forced else hermes_grammar
            return await constraints.compile(partial(grammar, schemas), list(schemas.values()), "tools")
        if self.schema is None:
            return None
        return await constraints.compile(partial(json_grammar, self.schema), [self.schema], self.schema_param)

    def templates(self, form: ToolFormat | None) -> list[dict[str, Any]]:
        """The tools as the chat template takes them; none where it knows none."""
        if not self.may_call or form is None:
            return []
        return [
            {
                "type": "function",
                "function": {
                    "name": each.name,
                    "description": each.description or "",
                    "parameters": dict(each.parameters or NO_ARGUMENTS),
                },
            }
            for each in self.functions
        ]

    def reader(self, form: ToolFormat | None) -> CallReader | None:
        """Finds the calls in an answer; None where none may come."""
        if not self.may_call:
            return None
        return CallReader(form, forced=self.forced, most_calls=None if self.parallel else 1)


def _arguments(function: Function, *, exact: bool) -> Schema:
    """The schema of a call's arguments: an object in any case; any at all where it is not to be exact."""
    if not (exact or function.strict):
        return {"type": "object"}
    schema = function.parameters or NO_ARGUMENTS
    return schema if "type" in schema or "$ref" in schema else {**schema, "type": "object"}
