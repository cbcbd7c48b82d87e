"""Recorded requests to the Azure Files data plane: signed anew for our account, and how answers compare."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from itertools import product
from typing import Any, Final
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import httpx
from azure.storage.fileshare import generate_file_sas
from tests.conformance.recordings import Exchange

from containerapps_emulator.storage.access.shared_key import string_to_sign

# Of the transport, ids that the recorder dropped, or of the account: x-ms-access-tier is there in some
# recordings and not in others.
NOT_COMPARED: Final = frozenset(
    (
        "server",
        "date",
        "content-length",
        "transfer-encoding",
        "x-ms-access-tier",
        "x-ms-access-tier-change-time",
        "x-ms-copy-id",
        "x-ms-request-id",
        "x-ms-client-request-id",
    )
)
COMPARED_VALUES: Final = (
    "accept-ranges",
    "content-md5",
    "content-range",
    "content-type",
    "x-ms-error-code",
    "x-ms-file-attributes",
    "x-ms-has-immutability-policy",
    "x-ms-lease-state",
    "x-ms-lease-status",
    "x-ms-meta-a",
    "x-ms-share-quota",
    "x-ms-type",
)


@dataclass(frozen=True, slots=True)
class Account:
    """A storage account of ours. `url` is where the Files service listens."""

    url: str
    name: str
    key: str

    def ask(
        self, client: httpx.Client, recorded: Exchange, others: Mapping[str, Account]
    ) -> tuple[httpx.Response, list[str]]:
        """The answer and how it differs. The recorder dropped x-ms-allow-trailing-dot: try both."""
        sources = ("true", "false") if "x-ms-copy-source" in recorded.headers else ("true",)
        for keep_dots, keep_source_dots in product(("true", "false"), sources):
            answer = client.send(self._signed(recorded, keep_dots, keep_source_dots, others))
            found = list(differences(answer, recorded))
            if not found:
                break
        return answer, found

    def readable(self, path: str, *, with_token: bool) -> str:
        """The URL of a file, with a new token where the recorded one had one."""
        url = f"{self.url}/{self.name}{path}"
        return f"{url}?{_token(self, path)}" if with_token else url

    def _signed(
        self, recorded: Exchange, keep_dots: str, keep_source_dots: str, others: Mapping[str, Account]
    ) -> httpx.Request:
        """The recorded request, to our server, now."""
        url = recorded.url
        path = f"/{self.name}{url.path}" + (f"?{url.query}" if url.query else "")
        now = formatdate(time.time(), usegmt=True)
        headers = {**recorded.headers, "x-ms-allow-trailing-dot": keep_dots, "x-ms-date": now}
        if "x-ms-copy-source" in headers:
            headers["x-ms-source-allow-trailing-dot"] = keep_source_dots
        body = _body(recorded, int(headers.get("content-length", "0")))
        if "x-ms-copy-source" in headers:
            copied = urlsplit(headers["x-ms-copy-source"])
            owner = others[copied.netloc.partition(".")[0]]
            headers["x-ms-copy-source"] = owner.readable(copied.path, with_token=bool(copied.query))
        request = httpx.Request(recorded.method, self.url + path, headers=headers, content=body)
        text = string_to_sign(
            method=request.method,
            raw_path=request.url.raw_path.decode().partition("?")[0],
            query=request.url.params.multi_items(),
            headers=dict(request.headers),
            account=self.name,
        )
        digest = hmac.new(base64.b64decode(self.key), text.encode(), hashlib.sha256).digest()
        request.headers["authorization"] = f"SharedKey {self.name}:{base64.b64encode(digest).decode()}"
        return request


def _token(account: Account, path: str) -> str:
    _, share, *parts = path.split("/")
    end = datetime.now(UTC) + timedelta(hours=1)
    return str(generate_file_sas(account.name, share, parts, account.key, permission="r", expiry=end))


def _body(recorded: Exchange, length: int) -> bytes:
    """Bodies that the recorder left out were files of zeros."""
    kept = isinstance(recorded.body, str) and not recorded.body.startswith("...OMITTED")
    return recorded.body.encode() if kept else bytes(length)


def differences(answer: httpx.Response, recorded: Exchange) -> Iterator[str]:
    """Status, the set of headers, the values that do not depend on the occasion, the shape of XML."""
    if answer.status_code != recorded.status:
        yield f"status: {answer.status_code}, recorded {recorded.status}: {answer.text[:200]}"
        return
    ours, theirs = set(answer.headers) - NOT_COMPARED, set(recorded.answer_headers) - NOT_COMPARED
    if ours != theirs:
        yield f"headers {sorted(ours ^ theirs)} differ"
    for name in COMPARED_VALUES:
        if name in ours & theirs and answer.headers[name] != recorded.answer_headers[name]:
            yield f"header {name}: {answer.headers[name]}, recorded {recorded.answer_headers[name]}"
    body = recorded.answer_body or ""
    if body.startswith("\ufeff"):
        yield from _xml_differences(answer.text, body)


def _xml_differences(ours: str, theirs: str) -> Iterator[str]:
    if not ours.startswith("\ufeff<?xml"):
        yield "body: no byte order mark"
        return
    our_shape, their_shape = _shape(ET.fromstring(ours[1:])), _shape(ET.fromstring(theirs[1:]))  # noqa: S314
    if our_shape != their_shape:
        yield f"body: XML {our_shape}, recorded {their_shape}"


def _shape(element: ET.Element) -> tuple[Any, ...]:
    """Tags and attributes in order; entries by kind, whatever there are of them."""
    children = [_shape(child) for child in element if not child.tag.startswith("AccessTier")]
    return element.tag, tuple(element.attrib), tuple(dict.fromkeys(children))
