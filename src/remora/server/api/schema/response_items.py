"""The items of a response's input: messages, calls, what calls gave, thoughts and references."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from remora.errors import InvalidInput, listed
from remora.server.api.schema.body import Body, only_text
from remora.server.api.schema.neutral import Neutral
from remora.server.api.schema.tools import FunctionName


class ItemPart(Body):
    """A piece of text of a message; what an earlier answer had beside it is not read."""

    neutral: ClassVar[Neutral] = {"annotations": ([],), "logprobs": ([],)}

    type: Literal["input_text", "output_text", "reasoning_text", "summary_text"]
    text: str

    @model_validator(mode="before")
    @classmethod
    def refuse_what_is_no_text(cls, part: object) -> object:
        return only_text(part)


def _parts(value: object) -> object:
    return [{"type": "input_text", "text": value}] if isinstance(value, str) else value


ItemParts = Annotated[list[ItemPart], BeforeValidator(_parts, json_schema_input_type=str | list[ItemPart])]


class InputItem(Body):
    """A message, a call that the model made, what a call gave, thoughts, or a reference to an item by its id.

    `id` of all others, `status`, `phase` and `namespace` are labels only. Thoughts that only another
    server can read (`encrypted_content`) are refused.
    """

    neutral: ClassVar[Neutral] = {"encrypted_content": ("",)}

    type: Literal["message", "function_call", "function_call_output", "reasoning", "item_reference"] = (
        "message"
    )
    role: Literal["user", "assistant", "system", "developer"] | None = None
    content: ItemParts | None = None
    call_id: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    name: FunctionName | None = None
    arguments: str | None = None
    output: ItemParts | None = None
    summary: list[ItemPart] | None = None
    namespace: Annotated[str, Field(max_length=256)] | None = None
    id: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None
    phase: Literal["commentary", "final_answer"] | None = None

    @model_validator(mode="before")
    @classmethod
    def reference_without_a_type(cls, item: object) -> object:
        """An id alone refers to an item; OpenAI lets the type be left out."""
        if isinstance(item, dict) and {name for name in item if item[name] is not None} == {"id"}:
            return {**item, "type": "item_reference"}
        return item

    @model_validator(mode="after")
    def fields_of_the_type(self) -> Self:
        fields = {name for names in ITEM_FIELDS.values() for name in names}
        given = {name for name in fields if getattr(self, name) is not None}
        needed = ITEM_FIELDS[self.type]
        if not needed <= given <= needed | ITEM_OPTIONS.get(self.type, set()):
            wanted = listed(sorted(needed))
            raise InvalidInput(
                f"an item of the type {self.type!r} needs these and no others: {wanted}", param="input"
            )
        return self


def items_of(value: object) -> object:
    """Text is what the user says."""
    return [{"role": "user", "content": value}] if isinstance(value, str) and value else value


ITEM_FIELDS: dict[str, set[str]] = {
    "message": {"role", "content"},
    "function_call": {"call_id", "name", "arguments"},
    "function_call_output": {"call_id", "output"},
    "reasoning": {"summary"},
    "item_reference": {"id"},
}
ITEM_OPTIONS: dict[str, set[str]] = {
    "message": {"id"},
    "function_call": {"id"},
    "function_call_output": {"id"},
    "reasoning": {"content", "id"},
}
