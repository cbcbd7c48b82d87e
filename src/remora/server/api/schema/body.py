"""The rules that every request body follows. Owns neutral values and plain JSON; knows no route.

A field that is not listed is refused by name. A field of `neutral` is accepted with the values that change
nothing (and null), since clients send them unasked; any other value is refused by name, not ignored. Where
the endpoint is not strict both are left out instead, and the answer says so.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from remora.server.api.schema.neutral import ANY, Neutral
from remora.server.wire.lenience import ignored
from remora.server.wire.plain_json import check_plain
from remora.server.wire.problems import FAULT, UNSUPPORTED_VALUE

NOT_TEXT = {
    "image_url": "images",
    "input_image": "images",
    "image": "images",
    "input_audio": "audio",
    "audio_url": "audio",
    "video_url": "videos",
    "file": "files",
    "input_file": "files",
    "document": "documents",
}


class Body(BaseModel):
    """A JSON object in which nothing is guessed and nothing is ignored."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)

    neutral: ClassVar[Neutral] = {}

    @model_validator(mode="before")
    @classmethod
    def drop_neutral(cls, body: object) -> object:
        if not isinstance(body, dict):
            return body
        left_out = ignored()
        for name in cls.neutral.keys() & body.keys():
            value, values = body[name], cls.neutral[name]
            if value is None or values is ANY or value in values:
                continue
            if left_out is None:
                raise unsupported("", name)
            left_out.append(name)
        kept = {name: value for name, value in body.items() if name not in cls.neutral}
        return kept if left_out is None else _known(cls, kept, left_out)


def _known(cls: type[Body], body: dict[str, object], left_out: list[str]) -> dict[str, object]:
    names = {field.alias or name for name, field in cls.model_fields.items()}
    if cls.model_config.get("extra") == "forbid":
        left_out += [name for name in body if name not in names]
    return {name: value for name, value in body.items() if name in names}


def unsupported(message: str, field: str = "", hint: str = "leave it out") -> PydanticCustomError:
    """A field, or a value, that is not supported: pydantic reports it with its path.

    Without a message the path is named; without a field it is the object itself.
    """
    context = {"field": field, "hint": hint, "text": message}
    return PydanticCustomError(UNSUPPORTED_VALUE, "{text}", context)


def fault(message: str, field: str = "", hint: str = "") -> PydanticCustomError:
    """A value that is wrong: pydantic reports it with its path."""
    return PydanticCustomError(FAULT, "{text}", {"field": field, "hint": hint, "text": message})


class RequestBody(Body):
    """The whole body of a request: whatever is in it can be shown again in an answer."""

    @model_validator(mode="before")
    @classmethod
    def refuse_what_is_not_plain(cls, body: object) -> object:
        if isinstance(body, dict):
            check_plain(body)
        return body


def listed(value: object) -> object:
    """A lone string is a list of one, so that what follows has one shape and one error."""
    return [value] if isinstance(value, str) else value


def _listed_parts(value: object) -> object:
    return [{"type": "text", "text": value}] if isinstance(value, str) else value


class TextPart(Body):
    """Its text is all that reaches the model; what else clients keep in a part is not read."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["text"]
    text: str

    @model_validator(mode="before")
    @classmethod
    def refuse_what_is_no_text(cls, part: object) -> object:
        return only_text(part)


def only_text(part: object) -> object:
    """A part of a message. Says in words that images and other media are not supported."""
    kind = part.get("type") if isinstance(part, dict) else None
    if isinstance(kind, str) and kind in NOT_TEXT:
        raise unsupported(
            f"{NOT_TEXT[kind]} are not supported: this endpoint's models read text only",
            hint="send parts of the type text",
        )
    return part


TextParts = Annotated[
    list[TextPart], BeforeValidator(_listed_parts, json_schema_input_type=str | list[TextPart])
]
"""Text, or parts of text, as parts."""
