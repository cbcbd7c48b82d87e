"""The chat templates of a model or an adapter, and whether they can be used. Knows no tokens.

What can be known from a folder's files is known before anything is uploaded or loaded: a template that stops
at a user's message, runs for ever, loses the user's text or is no Jinja makes every answer impossible.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from remora.adapters.text.template_process import TemplateFailed, TemplateProcess
from remora.adapters.text.text_files import TEMPLATE_FILE, TOKENIZER_CONFIG, optional_object
from remora.errors import RemoraError
from remora.project.workspace import NAMED_TEMPLATES

PROBE = "remora says hello"
_TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token")
# What tokenizers have where their files do not say; a template that adds text to one needs it.
_USUAL_TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}

Turns = Sequence[Mapping[str, Any]]

_ASKED: Mapping[str, Any] = {"role": "user", "content": "?"}
_CONVERSATIONS: Mapping[str, Turns] = {
    "user": [{"role": "user", "content": PROBE}],
    "assistant": [_ASKED, {"role": "assistant", "content": PROBE}, _ASKED],
    "system": [{"role": "system", "content": PROBE}, _ASKED],
}


@dataclass(frozen=True, slots=True)
class ChatTemplates:
    """`default` renders conversations ("" where there is no template), `tool_use` those with tools.

    `in_parts` are the roles whose content the templates take as a list of parts and not as text.
    """

    default: str = ""
    tool_use: str = ""
    in_parts: frozenset[str] = field(default_factory=frozenset)

    @property
    def for_tools(self) -> str:
        return self.tool_use or self.default

    def render(
        self,
        process: TemplateProcess,
        turns: Turns,
        tools: Turns = (),
        tokens: Mapping[str, Any] | None = None,
    ) -> str:
        """A conversation as text. Raises TemplateFailed."""
        said = [self._as_wanted(turn) for turn in turns]
        return process.render(self.for_tools if tools else self.default, said, tools, tokens)

    def _as_wanted(self, turn: Mapping[str, Any]) -> Mapping[str, Any]:
        content = turn.get("content")
        if not isinstance(content, str) or turn.get("role") not in self.in_parts:
            return turn
        return {**turn, "content": [{"type": "text", "text": content}]}


def usable_templates(
    found: object, process: TemplateProcess, tokens: Mapping[str, Any] | None = None
) -> ChatTemplates:
    """What a tokenizer's `chat_template` is good for: nothing, one template, or several by name.

    Raises TemplateFailed, in words that go on from "the chat template of …", where a user could not be
    answered with it.
    """
    texts: Mapping[Any, object] = found if isinstance(found, Mapping) else {"default": found}
    named = {str(name): text for name, text in texts.items() if isinstance(text, str) and text}
    if not named:
        return ChatTemplates()
    if "default" not in named:
        raise TemplateFailed(f"has no default: there are only {', '.join(sorted(named))}")
    default, tool_use = named["default"], named.get("tool_use", "")
    templates = ChatTemplates(default, tool_use)
    for role in _CONVERSATIONS:
        templates = _with_form_of(role, templates, process, tokens)
    return templates


def _with_form_of(
    role: str, templates: ChatTemplates, process: TemplateProcess, tokens: Mapping[str, Any] | None
) -> ChatTemplates:
    """Find the form in which text of this role comes through. What a user says must come through."""
    failures: list[TemplateFailed] = []
    for in_parts in (templates.in_parts, templates.in_parts | {role}):
        tried = replace(templates, in_parts=in_parts)
        try:
            text = tried.render(process, _CONVERSATIONS[role], (), tokens)
        except TemplateFailed as error:
            failures.append(error)
            continue
        if PROBE in text:
            return tried
    if role != "user":  # not every template takes every role: that shows when somebody uses it
        return templates
    if failures:
        raise TemplateFailed(f"refuses a user's message: {failures[0].reason}", failures[0].line)
    raise TemplateFailed("leaves out what the user says")


def templates_in(folder: Path) -> object:
    """What transformers makes the `chat_template` of a tokenizer that is read from this folder."""
    named = {file.stem: _text(file) for file in sorted((folder / NAMED_TEMPLATES).glob("*.jinja"))}
    default = _text(folder / TEMPLATE_FILE)
    if default:
        return {"default": default, **named}
    if named:
        return named
    found = optional_object(folder / TOKENIZER_CONFIG).get("chat_template")
    if not isinstance(found, list):
        return found
    return {each["name"]: each["template"] for each in found if isinstance(each, dict) and "name" in each}


def check_templates(folder: Path, error: type[RemoraError], *, what: str) -> None:
    """Raises `error`, naming `what` and the line of the template, where a folder's template is of no use."""
    found = templates_in(folder)
    if not found:
        return
    failed = _failure(json.dumps(found), json.dumps(_tokens_in(folder)))
    if failed is not None:
        raise refused(error, what, failed) from failed


@functools.lru_cache(maxsize=64)
def _failure(found: str, tokens: str) -> TemplateFailed | None:
    """Why templates (as JSON) are of no use. Many adapters have the same, and a process takes time."""
    process = TemplateProcess()
    try:
        usable_templates(json.loads(found), process, json.loads(tokens))
    except TemplateFailed as failed:
        return failed
    finally:
        process.close()
    return None


def refused(error: type[RemoraError], what: str, failed: TemplateFailed) -> RemoraError:
    """The error for a template that is of no use, with its own line."""
    return error(
        f"the chat template of {what} {failed}",
        hint=f"correct its {TEMPLATE_FILE}: a conversation of one user's message must render, with its text",
    )


def _tokens_in(folder: Path) -> dict[str, str]:
    """The special tokens that the files name, or usual ones: only whether the template renders is asked."""
    config = {
        **optional_object(folder / "special_tokens_map.json"),
        **optional_object(folder / TOKENIZER_CONFIG),
    }
    found = {name: _token(config.get(name)) for name in _TOKENS}
    return _USUAL_TOKENS | {name: token for name, token in found.items() if token}


def _token(value: object) -> str:
    text = value.get("content") if isinstance(value, dict) else value
    return text if isinstance(text, str) else ""


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8") if path.is_file() else ""
    except (OSError, UnicodeDecodeError):
        return ""
