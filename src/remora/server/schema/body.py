"""The rules that every request body follows. Owns neutral values and the kinds of text; knows no route.

A field that is not listed is refused by name. A field of `neutral` is accepted with the values that change
nothing (and null), since clients send them unasked; any other value is refused by name, not ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, model_validator

from remora.errors import UnsupportedParameter

Neutral = Mapping[str, tuple[object, ...]]


class Body(BaseModel):
    """A JSON object in which nothing is guessed and nothing is ignored."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)

    neutral: ClassVar[Neutral] = {}

    @model_validator(mode="before")
    @classmethod
    def drop_neutral(cls, body: object) -> object:
        if not isinstance(body, dict):
            return body
        for name in cls.neutral.keys() & body.keys():
            value = body[name]
            if value is not None and value not in cls.neutral[name]:
                raise UnsupportedParameter(
                    f"the parameter {name!r} is not supported", hint="leave it out", param=name
                )
        return {name: value for name, value in body.items() if name not in cls.neutral}


def encodable(text: str) -> str:
    """JSON can spell half of a surrogate pair, but no tokenizer and no answer can."""
    text.encode()
    return text


def listed(value: object) -> object:
    """A lone string is a list of one, so that what follows has one shape and one error."""
    return [value] if isinstance(value, str) else value


def _listed_parts(value: object) -> object:
    return [{"type": "text", "text": value}] if isinstance(value, str) else value


Text = Annotated[str, AfterValidator(encodable)]


class TextPart(Body):
    type: Literal["text"]
    text: Text


TextParts = Annotated[
    list[TextPart], BeforeValidator(_listed_parts, json_schema_input_type=str | list[TextPart])
]
"""Text, or parts of text, as parts."""
