"""What a request tells the chat template. Owns which variables a template takes; renders nothing.

A variable that the template does not read would be ignored, so it is refused by the name of its field, unless
its value changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from remora.engine.base import ThoughtMarks
from remora.errors import InvalidInput, UnsupportedParameter
from remora.server.generation.turns import Turn

EFFORT, SWITCH, PROMPT = "reasoning_effort", "enable_thinking", "add_generation_prompt"  # as templates say
USUAL_EFFORT = "medium"  # OpenAI's default
KWARGS = "chat_template_kwargs"
CONTINUES = "continue_final_message"
_FIELDS = frozenset({"messages", "tools", PROMPT, CONTINUES})  # which are no variables of a request


class Template(Protocol):
    """What is known of a chat template; a tokenizer is one."""

    @property
    def template_names(self) -> frozenset[str]:
        """The names in it."""

    @property
    def thought_marks(self) -> ThoughtMarks | None:
        """The marks around thoughts; None where it knows none."""


@dataclass(frozen=True, slots=True)
class NoTemplate:
    """Of an adapter whose prompts have the form of its training: no variable reaches it."""

    template_names: frozenset[str] = frozenset()
    thought_marks: ThoughtMarks | None = None


@dataclass(frozen=True, slots=True)
class TemplateOptions:
    """What a request asks for. `thinks` is `enable_thinking`; `generation_prompt` None is the usual one.

    The params are what the route calls those fields; `usual_effort` is the API's default.
    """

    effort: str | None = None
    effort_param: str = EFFORT
    usual_effort: str = USUAL_EFFORT
    thinks: bool | None = None
    thinks_param: str = SWITCH
    variables: Mapping[str, Any] = field(default_factory=dict)
    generation_prompt: bool | None = None
    continues: bool = False


def template_variables(options: TemplateOptions, template: Template) -> dict[str, Any]:
    """The variables to render with. Raises InvalidInput, naming the field that cannot be kept to."""
    told: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for param, name, value in _wanted(options, template):
        if name in told and told[name] != value:
            raise InvalidInput(
                f"{param!r} and {origin[name]!r} contradict each other",
                hint="leave one of them out",
                param=param,
            )
        told[name], origin[name] = value, param
    return told | _generation_prompt(options, template)


def _wanted(options: TemplateOptions, template: Template) -> Iterator[tuple[str, str, Any]]:
    """Field, variable and value of all that the template must be told."""
    for name, value in options.variables.items():
        param = f"{KWARGS}.{name}"
        if name in _FIELDS:
            raise InvalidInput(f"{param!r} is no variable of its own", hint=f"send {name!r}", param=param)
        if value is not None and _is_needed(name, value, template, param):
            yield param, name, value
    if options.thinks is not None and _is_needed(SWITCH, options.thinks, template, options.thinks_param):
        yield options.thinks_param, SWITCH, options.thinks
    for name, value in effort_variables(
        options.effort, template, options.effort_param, usual=options.usual_effort
    ).items():
        yield options.effort_param, name, value


def _is_needed(name: str, value: object, template: Template, param: str) -> bool:
    """Whether the template must be told; False where it changes nothing. Raises UnsupportedParameter."""
    if name in template.template_names:
        return True
    if name == SWITCH and value is (template.thought_marks is not None):  # it does so anyway
        return False
    raise UnsupportedParameter(
        f"{param!r} is not supported: this model's chat template does not know {name!r}",
        hint="leave it out",
        param=param,
    )


def effort_variables(
    effort: str | None, template: Template, param: str, *, usual: str = USUAL_EFFORT
) -> dict[str, Any]:
    """What tells the template how much to think. Raises UnsupportedParameter where it cannot be told."""
    known = template.template_names
    if effort is None:
        return {}
    if EFFORT in known:
        return {EFFORT: effort}
    if effort == "none" and SWITCH in known:
        return {SWITCH: False}
    if effort == usual or (effort == "none" and template.thought_marks is None):
        return {}
    raise UnsupportedParameter(
        f"the value {effort!r} of {param!r} is not supported: this model's chat template does not know it",
        hint=f"leave it out, or send {usual!r}",
        param=param,
    )


def _generation_prompt(options: TemplateOptions, template: Template) -> dict[str, Any]:
    """Whether the prompt ends with the beginning of the assistant's turn."""
    if options.continues:
        if options.generation_prompt:
            raise InvalidInput(
                f"{CONTINUES!r} and {PROMPT!r} exclude each other",
                hint=f"leave out {PROMPT}",
                param=CONTINUES,
            )
        if isinstance(template, NoTemplate):
            raise UnsupportedParameter(
                f"{CONTINUES!r} is not supported: this adapter's prompt template takes questions only",
                hint="leave it out",
                param=CONTINUES,
            )
        return {PROMPT: False}
    if options.generation_prompt is False and _is_needed(PROMPT, False, template, PROMPT):
        return {PROMPT: False}
    return {}


def begun_answer(turns: Sequence[Turn], param: str = CONTINUES) -> str:
    """The text that an answer goes on from: the last turn's. Raises InvalidInput where it cannot."""
    last = turns[-1]
    if last["role"] != "assistant" or last.get("tool_calls") or not last["content"]:
        raise InvalidInput(
            f"{param!r} needs a last message of the assistant with text, and no calls",
            hint="leave it out, or end the messages with what the assistant has begun to say",
            param=param,
        )
    return str(last["content"])
