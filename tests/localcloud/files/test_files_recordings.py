"""Recorded conversations of the real service, asked again of ours: status, headers and XML must match."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import httpx
import pytest

from remora.localcloud.storage.shared_key import string_to_sign

RECORDINGS = Path(__file__).parents[4] / "shared" / "azure" / "recordings" / "azure_cli_storage"
SCENARIOS = (
    "storage_file_main_scenario",
    "storage_file_share_scenario",
    "storage_file_trailing_dot_scenario",
    "storage_file_upload_content_md5_scenarios",
    "storage_share_metadata_scenario",
)
# Of the transport, or of the account: x-ms-access-tier is there in some recordings and not in others.
NOT_COMPARED = {
    "server",
    "date",
    "content-length",
    "transfer-encoding",
    "x-ms-access-tier",
    "x-ms-access-tier-change-time",
    "x-ms-request-id",
    "x-ms-copy-id",
    "x-ms-client-request-id",
}
COMPARED_VALUES = (
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


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason="the recordings of the real service are not here")
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_recorded_conversation_goes_the_same_way(server: Any, scenario: str) -> None:
    exchanges = json.loads((RECORDINGS / f"{scenario}.json").read_text())["exchanges"]
    asked, differences = 0, []
    with httpx.Client() as client:
        for exchange in exchanges:
            request = exchange["request"]
            if not is_comparable(request):
                continue
            asked += 1
            found = asked_again(client, server, exchange)
            differences += [f"{request['method']} {request['uri']}: {text}" for text in found]
    assert asked > 3
    assert not differences, "\n".join(differences)


def asked_again(client: httpx.Client, server: Any, exchange: dict[str, Any]) -> list[str]:
    """How our answer differs. The recorder dropped x-ms-allow-trailing-dot, so either value may be right."""
    for keep_dots in ("true", "false"):
        answer = client.send(signed(server, exchange["request"], keep_dots))
        found = differences_of(answer, exchange["response"])
        if not found:
            break
    return found


def is_comparable(request: dict[str, Any]) -> bool:
    """Data plane requests."""
    return ".file.core." in urlsplit(request["uri"]).netloc


def signed(server: Any, recorded: dict[str, Any], keep_dots: str) -> httpx.Request:
    """The recorded request, to our server, now. Omitted bodies were files of zeros."""
    url = urlsplit(recorded["uri"])
    path = f"/{server.account}{url.path}" + (f"?{url.query}" if url.query else "")
    now = formatdate(time.time(), usegmt=True)
    headers = recorded["headers"] | {"x-ms-allow-trailing-dot": keep_dots, "x-ms-date": now}
    if "x-ms-copy-source" in headers:  # the recorder renamed account and share in the URL, not in the header
        source = urlsplit(headers["x-ms-copy-source"]).path.split("/")
        share = url.path.split("/")[1]
        headers["x-ms-copy-source"] = "/".join([server.url, server.account, share, *source[2:]])
        headers["x-ms-source-allow-trailing-dot"] = keep_dots
    body = bytes(int(headers.get("content-length", "0")))
    request = httpx.Request(recorded["method"], server.url + path, headers=headers, content=body)
    text = string_to_sign(
        method=request.method,
        raw_path=request.url.raw_path.decode().partition("?")[0],
        query=request.url.params.multi_items(),
        headers=dict(request.headers),
        account=server.account,
    )
    digest = hmac.new(base64.b64decode(server.key), text.encode(), hashlib.sha256).digest()
    request.headers["authorization"] = f"SharedKey {server.account}:{base64.b64encode(digest).decode()}"
    return request


def differences_of(answer: httpx.Response, recorded: dict[str, Any]) -> list[str]:
    if answer.status_code != recorded["status"]:
        return [f"status {answer.status_code}, recorded {recorded['status']}: {answer.text}"]
    ours, theirs = set(answer.headers) - NOT_COMPARED, set(recorded["headers"]) - NOT_COMPARED
    found = [f"headers {sorted(ours ^ theirs)} differ"] if ours != theirs else []
    found += [
        f"{name} is {answer.headers[name]}, recorded {recorded['headers'][name]}"
        for name in COMPARED_VALUES
        if name in ours & theirs and answer.headers[name] != recorded["headers"][name]
    ]
    body = recorded.get("body") or ""
    if body.startswith("\ufeff"):
        found += xml_differences(answer.text, body)
    return found


def xml_differences(ours: str, theirs: str) -> list[str]:
    if not ours.startswith("\ufeff<?xml"):
        return ["no byte order mark"]
    our_shape, their_shape = shape(ET.fromstring(ours[1:])), shape(ET.fromstring(theirs[1:]))  # noqa: S314
    return [] if our_shape == their_shape else [f"XML {our_shape}, recorded {their_shape}"]


def shape(element: ET.Element) -> tuple[Any, ...]:
    """Tags and attributes in order; entries by kind, whatever there are of them."""
    children = [shape(child) for child in element if not child.tag.startswith("AccessTier")]
    return element.tag, tuple(element.attrib), tuple(dict.fromkeys(children))
