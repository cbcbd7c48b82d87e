"""What of an answer is the service's and what is the occasion's: times, ids and addresses become marks.

Two answers are equal where their normal forms are. Spelling is kept: an id keeps its fixed segments.
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

Json = Any

# Values of these properties are of one machine, one account or one moment, whatever they look like.
OF_THE_OCCASION: Final = frozenset(
    (
        "containerId",
        "correlationId",
        "createdBy",
        "createdByType",
        "currentValue",
        "usage",
        "primarySharedKey",
        "secondarySharedKey",
        "lastModifiedBy",
        "lastModifiedByType",
        "customDomainVerificationId",
        "defaultDomain",
        "fqdn",
        "latestRevisionFqdn",
        "message",
        "operationId",
        "outboundIpAddresses",
        "runningStateDetails",
        "serviceRequestId",
        "staticIp",
        "token",
        "trackingId",
        "version",  # of KEDA and Dapr
    )
)
ENDPOINTS: Final = ("primaryEndpoints", "secondaryEndpoints")
MARKS: Final = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z?"), "<time>"),
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE), "<guid>"),
    (re.compile(r"^PT(\d+H)?(\d+M)?(\d+(\.\d+)?S)?$"), "<duration>"),
    (re.compile(r"\"0x[0-9A-F]{15,16}\""), "<etag>"),
    (re.compile(r"\b\d{17,20}\b"), "<digits>"),
    (re.compile(r"--[a-z0-9]{7}(-[a-z0-9]{8,10}-[a-z0-9]{5})?\b"), "--<revision>"),
    (re.compile(r"[A-Za-z0-9+/]{86}=="), "<key>"),
    (re.compile(r"\b(store|st|cr|cae-|log-|mi-)(?=[a-z]*[2-7])[a-z2-7]{13}\b"), r"\1<unique>"),
    (re.compile(r"veryFakedStorageAccountKey=="), "<key>"),
    (re.compile(r"veryFakedCustomerId=="), "<guid>"),
    (re.compile(r"clitest\.rg[a-z0-9]+"), "<group>"),  # masked in some places, and not in others
)
QUERY_OF_THE_OCCASION: Final = frozenset(("t", "c", "s", "h"))


def normal(value: Json, key: str = "") -> Json:
    """The value with all that belongs to the occasion marked."""
    if key in OF_THE_OCCASION and value not in (None, "", []):
        return f"<{key}>"
    if key in ENDPOINTS and isinstance(value, dict):
        return dict.fromkeys(value, "<endpoint>")
    if isinstance(value, dict):
        return {_normal_name(name): normal(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [normal(item, key) for item in value]
    return normal_text(value) if isinstance(value, str) else value


def _normal_name(name: str) -> str:
    """Identities are named by their ids."""
    return normal_id(name) if name.startswith("/subscriptions/") else name


def normal_text(text: str) -> str:
    if text.startswith(("http://", "https://", "ws://", "wss://")):
        return normal_url(text)
    if text.startswith("/subscriptions/"):
        return normal_id(text)
    for pattern, mark in MARKS:
        text = pattern.sub(mark, text)
    return text


def normal_url(text: str) -> str:
    """`https://host/path?query` without the host, and without signatures in the query."""
    url = urlsplit(text)
    names = sorted({name for name, _ in parse_qsl(url.query, keep_blank_values=True)} - QUERY_OF_THE_OCCASION)
    return f"<address>{normal_id(url.path)}" + (f"?{'&'.join(names)}" if names else "")


def normal_id(text: str) -> str:
    """A path whose names are marks, and whose types are as they were spelled."""
    segments = text.split("/")
    return "/".join(
        segment if index % 2 or not segment or segments[index - 1].lower() == "providers" else "*"
        for index, segment in enumerate(segments)
    )
