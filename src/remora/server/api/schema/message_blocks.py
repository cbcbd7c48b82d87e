"""The blocks of a message as Anthropic has them: text, calls, what calls gave, and thoughts."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from remora.errors import listed
from remora.server.api.schema.body import Body, TextParts, fault, only_text
from remora.server.api.schema.neutral import ANY, Neutral
from remora.server.api.schema.tools import FunctionName

CallId = Annotated[str, Field(min_length=1, max_length=256)]


class ContentBlock(Body):
    """One of four types. A signature says who wrote a thought, which nobody here checks."""

    neutral: ClassVar[Neutral] = {
        "cache_control": ANY,
        "caller": ANY,
        "citations": ([],),
        "toolset_name": (),
    }

    type: Literal["text", "tool_use", "tool_result", "thinking"]
    text: str | None = None
    id: CallId | None = None
    name: FunctionName | None = None
    input: dict[str, Any] | None = None
    tool_use_id: CallId | None = None
    content: TextParts | None = None
    is_error: bool | None = None
    thinking: str | None = None
    signature: str | None = None

    @model_validator(mode="before")
    @classmethod
    def refuse_what_is_no_text(cls, block: object) -> object:
        return only_text(block)

    @model_validator(mode="after")
    def fields_of_the_type(self) -> Self:
        given = {name for name in _FIELDS if getattr(self, name) is not None}
        needed, more = BLOCK_FIELDS[self.type]
        if not needed <= given <= needed | more:
            wanted = listed(sorted(needed))
            raise fault(f"a block of the type {self.type!r} needs these and no others: {wanted}")
        return self


BLOCK_FIELDS: dict[str, tuple[frozenset[str], frozenset[str]]] = {
    "text": (frozenset({"text"}), frozenset()),
    "tool_use": (frozenset({"id", "name", "input"}), frozenset()),
    "tool_result": (frozenset({"tool_use_id"}), frozenset({"content", "is_error"})),
    "thinking": (frozenset({"thinking"}), frozenset({"signature"})),
}
"""By type: the fields that a block needs, and those that it may have."""
_FIELDS = frozenset().union(*(needed | more for needed, more in BLOCK_FIELDS.values()))


def _blocks(value: object) -> object:
    return [{"type": "text", "text": value}] if isinstance(value, str) else value


ContentBlocks = Annotated[
    list[ContentBlock], BeforeValidator(_blocks, json_schema_input_type=str | list[ContentBlock])
]


class AnthropicMessage(Body):
    """One turn. What a call gave is said by the user, what is called and thought by the assistant."""

    role: Literal["user", "assistant"]
    content: Annotated[ContentBlocks, Field(min_length=1)]

    @model_validator(mode="after")
    def blocks_of_the_role(self) -> Self:
        others = {"tool_use", "thinking"} if self.role == "user" else {"tool_result"}
        for block in self.content:
            if block.type in others:
                raise fault(
                    f"'content' has a block of the type {block.type!r}, which is no {self.role}'s", "content"
                )
        return self
