"""Formats that vLLM's clients require of an answer: a JSON schema, a pattern, a choice or a grammar.

Owns `structured_outputs` and the former `guided_…` fields; what they become is `generation.constraints`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from remora.server.api.schema.body import Body, fault
from remora.server.api.schema.neutral import ANY, Neutral

LONGEST_GRAMMAR = 64 * 1024
MOST_OPTIONS = 1024
KINDS = ("json", "regex", "choice", "grammar", "json_object")

Schema = dict[str, Any]
JsonFormat = Schema | Annotated[str, Field(max_length=LONGEST_GRAMMAR)]
Grammar = Annotated[str, Field(min_length=1, max_length=LONGEST_GRAMMAR)]
Options = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=LONGEST_GRAMMAR)]],
    Field(min_length=1, max_length=MOST_OPTIONS),
]


@dataclass(frozen=True, slots=True)
class Format:
    """One required format: of which of `KINDS`, and the field that asks for it."""

    kind: str
    value: Any
    param: str


class StructuredOutputs(Body):
    """Exactly one of its kinds."""

    neutral: ClassVar[Neutral] = {
        "disable_additional_properties": (False,),
        "disable_any_whitespace": ANY,
        "disable_fallback": ANY,
        "structural_tag": (),
        "whitespace_pattern": (),
    }

    json_: JsonFormat | None = Field(None, alias="json")
    regex: Grammar | None = None
    choice: Options | None = None
    grammar: Grammar | None = None
    json_object: bool | None = None

    @model_validator(mode="after")
    def one_kind(self) -> Self:
        if len(self.kinds) != 1:
            raise fault(
                f"structured_outputs has {len(self.kinds)} formats, and exactly one is wanted",
                hint="send one of json, regex, choice, grammar and json_object",
            )
        return self

    @property
    def kinds(self) -> Mapping[str, Any]:
        values = (self.json_, self.regex, self.choice, self.grammar, self.json_object or None)
        return {kind: value for kind, value in zip(KINDS, values, strict=True) if value is not None}


class StructuredFields(Body):
    """The fields themselves, for the bodies that have them."""

    structured_outputs: StructuredOutputs | None = None
    guided_json: JsonFormat | None = None
    guided_regex: Grammar | None = None
    guided_choice: Options | None = None
    guided_grammar: Grammar | None = None

    @property
    def required_formats(self) -> list[Format]:
        """All that are asked for: more than one contradict each other."""
        formats = [
            Format(kind, value, f"guided_{kind}")
            for kind, value in (
                ("json", self.guided_json),
                ("regex", self.guided_regex),
                ("choice", self.guided_choice),
                ("grammar", self.guided_grammar),
            )
            if value is not None
        ]
        if self.structured_outputs is not None:
            ((kind, value),) = self.structured_outputs.kinds.items()
            formats.append(Format(kind, value, f"structured_outputs.{kind}"))
        return formats
