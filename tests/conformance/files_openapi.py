"""Answers of Azure Files against Microsoft's OpenAPI document of its data plane: which operation was asked,
and which status, headers and XML it may answer.

What an XML schema means is `xml_schema`; how answers are collected is `files_recorder`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit
from xml.etree import ElementTree as ET

from tests.conformance.recordings import EVIDENCE
from tests.conformance.schema import Node, document, violations
from tests.conformance.xml_schema import element_violations, name_of, text_violations

DOCUMENT: Final = EVIDENCE / "specs/storage/data-plane/Microsoft.FileStorage/preview/2024-05-04/file.json"
METADATA: Final = "x-ms-meta"
# Of HTTP itself, or with every answer, documented or not.
EVERYWHERE: Final = frozenset(
    (
        "content-length",
        "content-type",
        "date",
        "server",
        "transfer-encoding",
        "x-ms-client-request-id",
        "x-ms-request-id",
        "x-ms-version",
    )
)
# The document gives these schemas no XML name; the service has one for each.
ROOTS: Final = {"ShareFileRangeList": "Ranges", "StorageError": "Error"}


@dataclass(frozen=True, slots=True)
class FilesAnswer:
    """One answer. `path` starts with the share; names of headers are in lower case; `body` is None where it
    is a file's content."""

    method: str
    path: str
    query: Mapping[str, str]
    sent: Mapping[str, str]
    status: int
    headers: Mapping[str, str]
    body: bytes | None

    def operation(self) -> str:
        """As the document calls it. Raises KeyError for what it does not know."""
        return str(_operations()[self._key()].schema["operationId"])

    def declared(self) -> Node | None:
        """What the document says of an answer of this status; None where it may not be."""
        node = _operations()[self._key()]
        responses = node.schema["responses"]
        found = responses.get(str(self.status)) or (responses["default"] if self.status >= 400 else None)
        return None if found is None else node.at(found)

    def _key(self) -> tuple[str, str, str, str]:
        comp = self.query.get("comp", "")
        flag = self.sent.get("x-ms-lease-action", "") if comp == "lease" else ""
        if "x-ms-copy-source" in self.sent:  # the document tells apart by made-up queries
            comp, flag = ("range", "fromURL") if comp == "range" else ("copy", "")
        elif "copyid" in self.query:
            flag = "copyid"
        return self.method, self._level(comp), comp, flag

    def _level(self, comp: str) -> str:
        depth = len([part for part in self.path.split("/") if part])
        if depth == 0:
            return "service"
        if self.query.get("restype") in ("share", "directory"):
            return self.query["restype"]
        return "directory" if depth == 1 and comp.endswith("handles") else "file"


def operations() -> set[str]:
    """All that the document knows, by name."""
    return {str(node.schema["operationId"]) for node in _operations().values()}


def files_violations(answer: FilesAnswer) -> Iterator[str]:
    """What the document does not allow."""
    declared = answer.declared()
    if declared is None:
        yield f"status {answer.status} is not declared"
        return
    yield from _header_violations(declared, answer.headers)
    if answer.status >= 400:
        yield from _code_violations(answer.headers.get("x-ms-error-code", ""))
    yield from _body_violations(declared, answer)


def _header_violations(declared: Node, headers: Mapping[str, str]) -> Iterator[str]:
    known = {name.lower(): schema for name, schema in declared.schema.get("headers", {}).items()}
    for name, schema in known.items():
        if name in headers:
            yield from text_violations(Node(declared.file, schema), headers[name], f"header {name}")
        elif name != METADATA or not any(item.startswith(METADATA) for item in headers):
            yield f"header {name}: missing"
    for name in sorted(headers.keys() - known.keys() - EVERYWHERE):
        if METADATA not in known or not name.startswith(METADATA):
            yield f"header {name}: unknown"


def _code_violations(code: str) -> Iterator[str]:
    if code not in document(DOCUMENT)["definitions"]["ErrorCode"]["enum"]:
        yield f"header x-ms-error-code: {code!r} is no ErrorCode"


def _body_violations(declared: Node, answer: FilesAnswer) -> Iterator[str]:
    schema = declared.schema.get("schema")
    if schema is None or answer.method == "HEAD":
        if answer.body:
            yield f"body: {answer.body[:80]!r} where none is declared"
        return
    if schema.get("format") == "file":
        if answer.body is not None:
            yield f"body: {answer.body[:80]!r} is no file"
        return
    if answer.headers.get("content-type") == "application/json":
        yield from violations(declared.at(schema), json.loads(answer.body or b""))
        return
    root = ET.fromstring(answer.body or b"")  # noqa: S314 - our own server's
    name = name_of(declared, schema)
    if root.tag != ROOTS.get(name, name):
        yield f"{root.tag}: is not {name}"
    yield from element_violations(declared.at(schema), root, root.tag)


@cache
def _operations() -> dict[tuple[str, str, str, str], Node]:
    """Method, level, comp and what else tells operations apart, to the operation."""
    found: dict[tuple[str, str, str, str], Node] = {}
    for path, methods in document(DOCUMENT)["x-ms-paths"].items():
        for method, operation in methods.items():
            if method != "parameters":
                found[method.upper(), *_question(path)] = Node(DOCUMENT, operation)
    return found


def _question(template: str) -> tuple[str, str, str]:
    url = urlsplit(template)
    query: dict[str, Any] = dict(parse_qsl(url.query, keep_blank_values=True))
    level = ("service", "share", "directory", "file")[url.path.count("{")]
    flag = next((name for name, value in query.items() if not value), "")
    return level, query.get("comp", ""), flag
