"""Answers against Microsoft's OpenAPI documents: which operation was asked, may it answer so.

What the schemas mean is `schema`; how exchanges are collected is `recorder`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from tests.conformance.recordings import EVIDENCE
from tests.conformance.schema import Node, document, violations

SPECS: Final = EVIDENCE / "specs"
VERSION: Final = re.compile(r"\d{4}-\d\d-\d\d(-preview)?")
# Values that Microsoft's own recorded answers have and its documents have not.
TOLERATED: Final = (
    re.compile(r"systemData\.\w+: .* is no date-time"),
    re.compile(r"\.error: unknown"),  # the envelope, which some documents leave out
    re.compile(r"body\.nextLink: required, missing"),  # the last page has none
    re.compile(r"^body\.count: unknown"),  # beside the list of subscriptions
)
SECRETS_ANSWERED: Final = ("POST",)  # what list… and get… actions are there for


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer that a client got. `body` is JSON, or None where there was none."""

    method: str
    path: str
    version: str
    status: int
    body: Any


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of one document. `weight` prefers paths with fewer parameters."""

    method: str
    pattern: re.Pattern[str]
    version: str
    node: Node
    name: str
    weight: int


def operation_of(answer: Answer) -> Operation | None:
    """The operation that was asked, in the document of the asked version; None where there is no document."""
    found = [
        item
        for item in _operations()
        if item.method == answer.method
        and item.version == answer.version
        and item.pattern.fullmatch(answer.path)
    ]
    return max(found, key=lambda item: item.weight, default=None)


def answer_violations(answer: Answer) -> Iterator[str]:
    """What the operation's document does not allow. An operation without a document allows everything."""
    operation = operation_of(answer)
    if operation is None:
        return
    responses = operation.node.schema["responses"]
    declared = responses.get(str(answer.status))
    if declared is None or declared.get("x-ms-error-response"):
        declared = responses.get("default") if answer.status >= 400 else None
        if declared is None:
            if answer.status < 400:
                yield f"status {answer.status} is not declared"
            return
    schema = operation.node.at(declared).schema.get("schema")
    if schema is None:
        if answer.body not in (None, ""):
            yield f"a body where none is declared: {str(answer.body)[:80]}"
        return
    node = operation.node.at(schema)
    for text in violations(node, answer.body):
        of_an_action = answer.method in SECRETS_ANSWERED and text.endswith("write-only, answered")
        if not of_an_action and not any(pattern.search(text) for pattern in TOLERATED):
            yield text


@cache
def _operations() -> tuple[Operation, ...]:
    return tuple(item for file in sorted(SPECS.rglob("*.json")) for item in _operations_in(file))


def _operations_in(file: Any) -> Iterator[Operation]:
    version = next((part for part in file.parts if VERSION.fullmatch(part)), None)
    if version is None or "examples" in file.parts or "data-plane" in file.parts:
        return
    for path, methods in document(file).get("paths", {}).items():
        for method, operation in methods.items():
            if method in ("get", "put", "post", "patch", "delete", "head"):
                yield Operation(
                    method=method.upper(),
                    pattern=_pattern(path),
                    version=version,
                    node=Node(file, operation),
                    name=operation["operationId"],
                    weight=len(re.sub(r"\{\w+\}", "", path)),
                )


def _pattern(path: str) -> re.Pattern[str]:
    """A path template as a pattern; `{scope}` alone spans segments."""
    parts = re.split(r"(\{\w+\})", path.rstrip("/"))
    text = "".join(
        (".+" if part == "{scope}" else "[^/]+") if part.startswith("{") else re.escape(part)
        for part in parts
    )
    return re.compile(f"{text}/?", re.IGNORECASE)
