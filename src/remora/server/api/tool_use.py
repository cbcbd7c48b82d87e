"""What the tools and the format of a request ask of its answer. Owns that decision, for chat and responses.

A function that must be called, and a response format, are kept to by a grammar. Where the model may call, a
grammar guards the arguments of `strict` functions, an answer with a format, and whatever was told in words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from remora.engine.base import Constraint, Tokenizer, ToolFormat
from remora.engine.text.grammar import (
    Arguments,
    Thoughts,
    call_grammar,
    hermes_grammar,
    json_grammar,
    llama_grammar,
)
from remora.errors import InvalidInput, UnsupportedParameter
from remora.server.api.schema.tools import Choice, Function
from remora.server.generation.constraints import Constraints
from remora.server.generation.thoughts import AnswerReader
from remora.server.generation.tool_calls import CallReader
from remora.server.generation.tool_form import QUESTIONS_ONLY, ToolForm, Tools

Schema = Mapping[str, Any]
NO_ARGUMENTS: Schema = {"type": "object", "properties": {}, "additionalProperties": False}


GUARDED = frozenset({ToolFormat.HERMES, ToolFormat.LLAMA})  # ways of calling that a grammar can hold


@dataclass(frozen=True, slots=True)
class ToolUse:
    """`choice` is OpenAI's tool_choice; `schema` is that of the whole answer, where one is wanted."""

    functions: Sequence[Function]
    choice: Choice
    parallel: bool
    schema: Schema | None
    schema_param: str

    @property
    def forced(self) -> bool:
        return self.choice.mode == "required" or self.choice.function is not None

    @property
    def may_call(self) -> bool:
        return bool(self.callable) and (self.forced or self.choice.mode == "auto")

    @property
    def callable(self) -> Sequence[Function]:
        """The functions that the model is told of; it may call no others."""
        allowed = self.choice.allowed
        return [each for each in self.functions if allowed is None or each.name in allowed]

    def check(self, form: ToolForm) -> None:
        """Refuse what a model that is told of tools in this form cannot do."""
        names = [function.name for function in self.functions]
        if len(set(names)) < len(names):
            raise InvalidInput("two functions have the same name", param="tools")
        chosen = self.choice.function
        for name in (*(self.choice.allowed or ()), *([chosen] if chosen else ())):
            if name not in names:
                raise InvalidInput(
                    f"tool_choice names {name!r}, which is not among the tools", param="tool_choice"
                )
        if self.forced and not self.callable:
            raise InvalidInput("tool_choice requires a call, but there are no tools", param="tool_choice")
        if self.forced and self.schema is not None:
            raise InvalidInput(
                f"{self.schema_param!r} and a required call exclude each other",
                hint="leave one of them out",
                param=self.schema_param,
            )
        self._check_form(form)

    def _check_form(self, form: ToolForm) -> None:
        if not self.may_call or (self.forced and form is QUESTIONS_ONLY):
            return
        if form is QUESTIONS_ONLY:
            raise UnsupportedParameter(
                "the parameter 'tools' is not supported: this adapter's prompt template takes questions only",
                hint="require a call with tool_choice, or leave them out",
                param="tools",
            )
        if form.told is Tools.OFF:
            raise UnsupportedParameter(
                "the parameter 'tools' is not supported: this endpoint has tools switched off",
                hint='leave them out, or set tools = "template" under [serve] in remora.toml',
                param="tools",
            )
        if self.forced or form.format in GUARDED:
            return
        if self.schema is not None:
            raise _unguarded(
                f"{self.schema_param!r} together with tools that may be called", self.schema_param
            )
        if any(function.strict for function in self.callable):
            raise _unguarded("'strict' functions that may be called", "tools")

    async def constraint(
        self, constraints: Constraints, tokenizer: Tokenizer, form: ToolForm, thoughts: Thoughts
    ) -> Constraint | None:
        """What the answer must keep to, in these tokens. Raises InvalidInput, naming the field."""
        write, param = self._grammar(form, thoughts), "tools" if self.may_call else self.schema_param
        if write is None:
            return None
        wanted = self._wanted
        schemas = [each.parameters or NO_ARGUMENTS for each in wanted]
        if self.schema is not None:
            schemas.append(self.schema)
        if self.may_call and self.schema is not None:  # then the field at fault is to be found first
            await constraints.compile(
                tokenizer, partial(json_grammar, self.schema), [self.schema], self.schema_param
            )
        return await constraints.compile(tokenizer, write, schemas, param)

    def _grammar(self, form: ToolForm, thoughts: Thoughts) -> Callable[[], str] | None:
        if not self.may_call:
            return None if self.schema is None else partial(json_grammar, self.schema, thoughts)
        wanted = self._wanted
        if self.forced:
            functions = {each.name: _arguments(each, kept=True, exact=True) for each in wanted}
            return partial(call_grammar, functions, thoughts)
        in_words = form.told is Tools.GENERIC  # nothing but the prompt taught the model how to call
        if not in_words and self.schema is None and not any(each.strict for each in wanted):
            return None
        functions = {each.name: _arguments(each, kept=in_words, exact=each.strict is True) for each in wanted}
        if form.format is ToolFormat.LLAMA:
            return partial(llama_grammar, functions, self.schema, thoughts)
        return partial(hermes_grammar, functions, self.schema, thoughts, several=self.parallel)

    @property
    def _wanted(self) -> Sequence[Function]:
        chosen = self.choice.function
        return [each for each in self.callable if chosen in (None, each.name)] if self.may_call else []

    def templates(self, form: ToolForm) -> list[dict[str, Any]]:
        """The tools as the model is told of them; none where it may call none."""
        if not self.may_call or form.told is Tools.OFF:
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
            for each in self.callable
        ]

    def told(self, form: ToolForm) -> str | None:
        """How the model was told of the tools; None where there was nothing to tell."""
        return str(form.told) if self.templates(form) else None

    def reader(
        self, form: ToolForm, thoughts: Thoughts, *, thoughts_shown: bool = True
    ) -> AnswerReader | None:
        """Finds thoughts and calls in an answer; None where neither may come."""
        most_calls = None if self.parallel else 1
        calls = CallReader(form.format, forced=self.forced, most_calls=most_calls) if self.may_call else None
        if calls is None and thoughts.marks is None:
            return None
        return AnswerReader(thoughts, calls, shown=thoughts_shown)


def _unguarded(what: str, param: str) -> UnsupportedParameter:
    return UnsupportedParameter(
        f"{what} are not supported with this model's own way of calling",
        hint='require a call with tool_choice, or set tools = "generic" under [serve] in remora.toml',
        param=param,
    )


def _arguments(function: Function, *, kept: bool, exact: bool) -> Arguments:
    """What a call's arguments must be: an object, which keeps to the schema where that is wanted."""
    if not (kept or exact):
        return Arguments({"type": "object"}, exact=True)
    schema = function.parameters or NO_ARGUMENTS
    as_object = schema if "type" in schema or "$ref" in schema else {**schema, "type": "object"}
    return Arguments(as_object, exact=exact)
