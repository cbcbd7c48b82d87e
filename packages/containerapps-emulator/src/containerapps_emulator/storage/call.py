"""One authenticated request with its body, as operations see it. Owns the parsing that they share."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from containerapps_emulator.storage import headers as wire
from containerapps_emulator.storage import structured
from containerapps_emulator.storage.access.sas import Grant
from containerapps_emulator.storage.errors import FilesError
from containerapps_emulator.storage.names import Target
from containerapps_emulator.storage.store.model import Share
from containerapps_emulator.storage.store.shares import Shares
from containerapps_emulator.storage.xml import Query

_RANGE: Final = re.compile(r"bytes=(\d+)-(\d*)\Z")
_MAX_RESULTS: Final = 5000


@dataclass(frozen=True, slots=True)
class Call:
    """Header names are lower-case. `origin` is scheme and host of the request's URL."""

    origin: str
    target: Target
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes | memoryview
    shares: Shares
    now: Callable[[], float]
    verify_token: Callable[[Target, Mapping[str, str], str], Grant]
    """What a token in a URL of this scheme allows on a target. Raises FilesError."""
    verify_bearer: Callable[[Target, str], None]
    """Raises FilesError unless a bearer token may read a target."""
    identity: Mapping[str, Any]
    """The claims of the request's bearer token; empty without one."""
    premium: Callable[[str], bool]
    """Whether an account is one for premium files, whose shares have provisioned throughput."""

    @property
    def share(self) -> Share:
        """The content of the share, or of the snapshot that the request names."""
        if self.snapshot is not None:
            return self.shares.open_snapshot(self.target.account, self.target.share, self.snapshot)
        return self.shares.open(self.target.account, self.target.share)

    def checked(self) -> Call:
        """The same call with the content of its body, which is as the client sent it."""
        return replace(self, body=structured.received(self.body, self.headers))

    @property
    def is_premium(self) -> bool:
        return self.premium(self.target.account)

    @property
    def snapshot(self) -> str | None:
        return self.query.get("sharesnapshot")

    @property
    def lease_id(self) -> str | None:
        return self.headers.get("x-ms-lease-id")

    def range(self, name: str = "x-ms-range") -> tuple[int, int | None] | None:
        """(first, last) byte of a range in the request; x-ms-range takes precedence over Range."""
        text = self.headers.get(name) or (self.headers.get("range") if name == "x-ms-range" else None)
        if text is None:
            return None
        match = _RANGE.match(text)
        if match is None:
            raise FilesError("InvalidHeaderValue", f"{name}: {text}")
        first, last = int(match[1]), int(match[2]) if match[2] else None
        if last is not None and last < first:
            raise FilesError("InvalidRange", text)
        return first, last

    def body_md5(self) -> str:
        """The base64 MD5 of the body. Raises Md5Mismatch if the client sent a different one."""
        digest = hashlib.md5(self.body, usedforsecurity=False).digest()
        sent = wire.md5(self.headers)
        if sent is not None and sent != digest:
            raise FilesError("Md5Mismatch")
        return base64.b64encode(digest).decode()

    def listing(self) -> Query:
        text = self.query.get("maxresults")
        limit = None if text is None else _max_results(text)
        include = self.query.get("include", "").lower().split(",")
        if wire.flag(self.headers, "x-ms-file-extended-info"):
            include.append("fileid")
        return Query(
            service_endpoint=f"{self.origin}/{self.target.account}/",
            prefix=self.query.get("prefix", ""),
            marker=self.query.get("marker", ""),
            max_results=limit,
            include=frozenset(part.strip() for part in include if part.strip()),
        )


def page_size(query: Query) -> int:
    return _MAX_RESULTS if query.max_results is None else query.max_results


def encode_marker(key: str | None) -> str:
    """Opaque to clients, which send it back to get the next page."""
    return "" if key is None else base64.urlsafe_b64encode(key.encode()).decode()


def decode_marker(marker: str) -> str:
    try:
        return base64.b64decode(marker, altchars=b"-_", validate=True).decode()
    except ValueError:
        raise FilesError("InvalidQueryParameterValue", f"marker={marker}") from None


def _max_results(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MAX_RESULTS:
        raise FilesError(
            "OutOfRangeQueryParameterValue", f"maxresults={text}; it must be from 1 to {_MAX_RESULTS}."
        )
    return int(text)
