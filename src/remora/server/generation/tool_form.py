"""How a model is told of tools and how it writes calls. Owns that choice; tells nothing itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from remora.engine.base import ToolFormat


class Tools(StrEnum):
    """How an endpoint tells its models of tools, `[serve] tools`.

    TEMPLATE: as the chat template does, the adapter's own where it has one; in words where it knows no tools.
    GENERIC: in words, whatever the template knows.
    OFF: not at all.
    """

    TEMPLATE = "template"
    GENERIC = "generic"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class ToolForm:
    """`told` is how one model is told; `format` how it writes calls, None where it is told of no tools.

    `in_words`: calls and results of a conversation are text for the template, whether or not there are tools.
    """

    told: Tools
    format: ToolFormat | None
    in_words: bool


# An adapter with the prompt template of its training answers single questions: tools have no place in them.
QUESTIONS_ONLY = ToolForm(Tools.OFF, None, in_words=False)


def form_of(wanted: Tools, own: ToolFormat | None) -> ToolForm:
    """For a chat template whose own way of calling is `own`; None where it knows no tools."""
    if wanted is Tools.OFF:
        return ToolForm(Tools.OFF, None, in_words=own is None)
    if wanted is Tools.GENERIC or own is None:
        return ToolForm(Tools.GENERIC, ToolFormat.HERMES, in_words=True)
    return ToolForm(Tools.TEMPLATE, own, in_words=False)
