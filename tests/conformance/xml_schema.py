"""An XML element, and text in it or in a header, against a schema of an OpenAPI 2.0 document, strictly.

Reads what the storage documents use: names, attributes and wrapped lists of the `xml` objects.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any, Final
from xml.etree import ElementTree as ET

from tests.conformance.schema import Node, violations

Json = Any
RFC1123: Final = re.compile(
    r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
    r" \d{4} \d\d:\d\d:\d\d GMT"
)


def name_of(node: Node, schema: Json, default: str = "") -> str:
    """What an element of the schema is called: by itself, by what it refers to, else by its property."""
    own = schema.get("xml", {}).get("name")
    named = node.at(schema).schema.get("xml", {}).get("name")
    return str(own or named or default or schema.get("$ref", "").rpartition("/")[2])


def element_violations(node: Node, element: ET.Element, where: str) -> Iterator[str]:
    """One line for each; `node` is the schema of the element, whatever it is called."""
    node = node.at(node.schema)
    schema = node.schema
    if schema.get("type") == "array":
        yield from _list_violations(node, element, where)
    elif "properties" in schema:
        yield from _object_violations(node, element, where)
    elif isinstance(schema.get("additionalProperties"), dict):
        for child in element:
            yield from element_violations(node.at(schema["additionalProperties"]), child, f"{where}.*")
    else:
        yield from (f"{where}.{child.tag}: unknown" for child in element)
        yield from text_violations(node, element.text or "", where)


def text_violations(node: Node, text: str, where: str) -> Iterator[str]:
    """A number, a truth value, a time, a digest, or one of the words that there are."""
    kind, form = node.schema.get("type"), node.schema.get("format")
    if kind == "integer" and not re.fullmatch(r"-?\d+", text):
        yield f"{where}: {text!r} is no integer"
    elif kind == "boolean" and text not in ("true", "false"):
        yield f"{where}: {text!r} is no boolean"
    elif form == "date-time-rfc1123" and not RFC1123.fullmatch(text):
        yield f"{where}: {text!r} is no date-time-rfc1123"
    elif form == "byte" and not _is_base64(text):
        yield f"{where}: {text!r} is no base64"
    elif kind == "string":
        yield from violations(node, text, where)


def _list_violations(node: Node, element: ET.Element, where: str) -> Iterator[str]:
    items = node.schema["items"]
    wanted = name_of(node, items)
    for child in element:
        if child.tag == wanted or "type" in items:  # items without a schema of their own have any name
            yield from element_violations(node.at(items), child, f"{where}.{child.tag}")
        else:
            yield f"{where}.{child.tag}: unknown"


def _object_violations(node: Node, element: ET.Element, where: str) -> Iterator[str]:
    attributes, children, texts = _parts(node)
    yield from _missing(node, element, where)
    for name, text in element.attrib.items():
        if name in attributes:
            yield from text_violations(attributes[name], text, f"{where}@{name}")
        else:
            yield f"{where}@{name}: unknown"
    for child in element:
        declared = children.get(child.tag)
        if declared is None:
            yield f"{where}.{child.tag}: unknown"
            continue
        kind, repeats = declared
        if not repeats and len(element.findall(child.tag)) > 1:
            yield f"{where}.{child.tag}: more than one"
        yield from element_violations(kind, child, f"{where}.{child.tag}")
    if (element.text or "").strip() and not texts:
        yield f"{where}: {element.text!r} is text where there is none"


def _missing(node: Node, element: ET.Element, where: str) -> Iterator[str]:
    for name in sorted(node.required()):
        declared = node.properties()[name]
        if declared.schema.get("xml", {}).get("attribute"):
            present = name in element.attrib
        else:
            is_list = _is_unwrapped(declared)  # an empty one has no element
            present = is_list or element.find(name_of(declared, declared.schema, name)) is not None
        if not present:
            yield f"{where}.{name}: required, missing"


def _parts(node: Node) -> tuple[dict[str, Node], dict[str, tuple[Node, bool]], bool]:
    """Attributes; child elements, each with whether it may be there repeatedly; whether there is text."""
    attributes: dict[str, Node] = {}
    children: dict[str, tuple[Node, bool]] = {}
    has_text = False
    for name, declared in node.properties().items():
        shape = declared.schema.get("xml", {})
        resolved = declared.at(declared.schema)
        if shape.get("attribute"):
            attributes[name_of(declared, declared.schema, name)] = resolved
        elif shape.get("x-ms-text"):
            has_text = True
        elif _is_unwrapped(declared):
            items = resolved.schema["items"]
            children[name_of(resolved, items)] = (resolved.at(items), True)
        else:
            children[name_of(declared, declared.schema, name)] = (resolved, False)
    return attributes, children, has_text


def _is_unwrapped(declared: Node) -> bool:
    resolved = declared.at(declared.schema).schema
    return resolved.get("type") == "array" and not resolved.get("xml", {}).get("wrapped")


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error:
        return False
    return True
