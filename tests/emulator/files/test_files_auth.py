"""Who is let in: the SDK's signatures are accepted for any path and header, anything else is refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from email.utils import formatdate
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.core.rest import HttpRequest
from azure.storage.fileshare import ShareServiceClient
from azure.storage.fileshare._shared.authentication import SharedKeyCredentialPolicy
from hypothesis import given
from hypothesis import strategies as st

from containerapps_emulator.storage.access.shared_key import string_to_sign, verify
from containerapps_emulator.storage.errors import FilesError

KEY = base64.b64encode(b"k" * 64).decode()
OTHER = base64.b64encode(b"o" * 64).decode()
NOW = 1_700_000_000.0


def signed(path: str, query: dict[str, str], headers: dict[str, str]) -> dict[str, str]:
    """The headers of a GET that Microsoft's own policy signed, in lower case."""
    sent = {"x-ms-date": formatdate(NOW, usegmt=True), "x-ms-version": "2025-05-05", **headers}
    request = HttpRequest("GET", f"http://127.0.0.1:1{path}", params=query, headers=sent)
    request.query = dict(query)
    context = SimpleNamespace(transport=None, options={})
    SharedKeyCredentialPolicy("acct", KEY).on_request(SimpleNamespace(http_request=request, context=context))
    return {name.lower(): value for name, value in request.headers.items()}


def check(
    path: str, query: dict[str, str], headers: dict[str, str], keys: list[str], now: float = NOW
) -> None:
    verify(
        method="GET", raw_path=path, query=query.items(), headers=headers, account="acct", keys=keys, now=now
    )


NAMES = st.text("abcxyz019_-", min_size=1, max_size=8)
VALUES = st.text("abc XYZ%+=&é", min_size=1, max_size=8).map(str.strip).filter(bool)


@given(
    query=st.dictionaries(NAMES.filter(str.isalpha), VALUES),
    meta=st.dictionaries(NAMES, st.text("abcXYZ1", min_size=1)),
)
def test_what_microsofts_policy_signs_is_accepted(query: dict[str, str], meta: dict[str, str]) -> None:
    headers = {f"x-ms-meta-{name}": value for name, value in meta.items()}
    query = {name: value.replace("%", "") for name, value in query.items()}
    check(
        "/acct/share/dir%20a/%C3%A9+b",
        query,
        signed("/acct/share/dir%20a/%C3%A9+b", query, headers),
        [OTHER, KEY],
    )


def test_any_change_to_a_signed_request_is_refused() -> None:
    headers = signed("/acct/share/a", {"comp": "list"}, {"x-ms-meta-a": "b"})
    check("/acct/share/a", {"comp": "list"}, headers, [KEY])
    for path, query, changed in (
        ("/acct/share/b", {"comp": "list"}, headers),
        ("/acct/share/a", {"comp": "range"}, headers),
        ("/acct/share/a", {"comp": "list"}, headers | {"x-ms-meta-a": "c"}),
        ("/acct/share/a", {"comp": "list"}, headers | {"x-ms-meta-b": "c"}),
        ("/acct/share/a", {"comp": "list"}, headers | {"content-type": "text/plain"}),
    ):
        with pytest.raises(FilesError, match="AuthenticationFailed"):
            check(path, query, changed, [KEY])


def test_a_signature_is_good_for_fifteen_minutes() -> None:
    headers = signed("/acct/share/a", {}, {})
    check("/acct/share/a", {}, headers, [KEY], now=NOW + 899)
    for skewed in (NOW + 901, NOW - 901):
        with pytest.raises(FilesError, match="AuthenticationFailed"):
            check("/acct/share/a", {}, headers, [KEY], now=skewed)


def test_an_account_without_keys_lets_nobody_in() -> None:
    with pytest.raises(FilesError) as refused:
        check("/acct/share/a", {}, signed("/acct/share/a", {}, {}), [])
    assert "no storage account 'acct'" in refused.value.message


@pytest.mark.parametrize(
    "authorization", ["Bearer x", "SharedKey", "SharedKey acct", "SharedKey acct:é", "SharedKeyLite acct:x"]
)
def test_other_credentials_are_refused(authorization: str) -> None:
    headers = signed("/acct/share/a", {}, {}) | {"authorization": authorization}
    with pytest.raises(FilesError, match="AuthenticationFailed"):
        check("/acct/share/a", {}, headers, [KEY])


def test_a_wrong_key_is_an_authentication_error_of_the_sdk(server: Any, share: Any) -> None:
    with server.service(key=OTHER) as intruder, pytest.raises(ClientAuthenticationError) as refused:
        list(intruder.list_shares())
    assert refused.value.status_code == 403
    assert refused.value.error_code == "AuthenticationFailed"


def test_a_wrong_key_is_told_so_even_while_it_sends_four_mib(server: Any, share: Any) -> None:
    share.get_file_client("a.bin").create_file(4 * 1024 * 1024)
    data = bytes(4 * 1024 * 1024)
    with server.service(key=OTHER) as intruder:
        file = intruder.get_share_client("models").get_file_client("a.bin")
        with pytest.raises(HttpResponseError) as refused:
            file.upload_range(data, offset=0, length=len(data))
    assert refused.value.status_code == 403


def test_either_key_of_an_account_is_good(server: Any, share: Any) -> None:
    second = base64.b64encode(bytes([2] * 64)).decode()
    with server.service(key=second) as service:
        assert [item.name for item in service.list_shares()] == ["models"]


def test_a_connection_string_works(server: Any, share: Any) -> None:
    text = (
        f"DefaultEndpointsProtocol=http;AccountName={server.account};AccountKey={server.key};"
        f"FileEndpoint={server.url}/{server.account};"
    )
    with ShareServiceClient.from_connection_string(text) as service:
        assert [item.name for item in service.list_shares()] == ["models"]


def test_a_request_without_signature_is_told_what_is_missing(server: Any, share: Any) -> None:
    answer = httpx.get(f"{server.url}/{server.account}/models?restype=share")
    assert (answer.status_code, answer.headers["x-ms-error-code"]) == (401, "NoAuthenticationInformation")
    assert answer.content.startswith(b"\xef\xbb\xbf<?xml")


@pytest.mark.parametrize(
    ("method", "path", "headers", "code"),
    [
        ("GET", "/models/a?comp=copy", {}, "UnsupportedHttpVerb"),
        ("PUT", "/models/a?comp=range", {"x-ms-copy-source": "x"}, "MissingRequiredHeader"),
        ("PUT", "/models/a?comp=metadata", {"x-ms-copy-source": "x"}, "UnsupportedHeader"),
        ("PUT", "/models/a?comp=metadata", {"x-ms-structured-body": "x"}, "UnsupportedHeader"),
        ("GET", "/models/a", {"x-ms-structured-body": "XSM/2.0"}, "UnsupportedHeader"),
        ("GET", "/models/a?comp=rangelist", {"x-ms-file-support-rename": "true"}, "InvalidHeaderValue"),
        ("GET", "/models/a?comp=metadata&prevsharesnapshot=x", {}, "UnsupportedQueryParameter"),
        ("PUT", "/models/a?comp=range", {"x-ms-source-if-match": "x"}, "ConditionHeadersNotSupported"),
        ("PUT", "/models/a?restype=hardlink", {}, "UnsupportedQueryParameter"),
        ("GET", "/models/a?restype=symboliclink", {}, "UnsupportedQueryParameter"),
        ("GET", "/models/a?restype=pipe", {}, "InvalidUri"),
        ("PUT", "/models/a", {"x-ms-blob-type": "BlockBlob"}, "UnsupportedHeader"),
        ("PUT", "/models/a", {"x-ms-owner": "1000"}, "UnsupportedHeader"),
        ("PUT", "/models/a", {"x-ms-file-property-semantics": "Old"}, "InvalidHeaderValue"),
        ("PUT", "/models?restype=share", {"x-ms-enable-smb-directory-lease": "true"}, "UnsupportedHeader"),
        ("GET", "/models?restype=share&comp=filepermission", {}, "MissingRequiredHeader"),
        ("PUT", "/models?restype=share&comp=filepermission", {}, "InvalidInput"),
        ("PUT", "/models?restype=share&sharesnapshot=x", {}, "ShareSnapshotOperationNotSupported"),
        ("PUT", "/models/a?sharesnapshot=x", {"x-ms-type": "file"}, "ShareSnapshotOperationNotSupported"),
        ("DELETE", "/models?restype=share", {"x-ms-delete-snapshots": "x"}, "InvalidHeaderValue"),
        ("PUT", "/models?restype=share&comp=undelete", {}, "MissingRequiredHeader"),
        ("PUT", "/models?restype=share&comp=properties", {"x-ms-access-tier": "x"}, "InvalidHeaderValue"),
        ("POST", "/models/a", {}, "UnsupportedHttpVerb"),
        ("PUT", "/models/a", {"x-ms-copy-source": "x"}, "InvalidUri"),
        ("GET", "/models/a?sharesnapshot=x", {}, "ShareSnapshotNotFound"),
        ("GET", "/models/a?comp=rangelist&prevsharesnapshot=x", {}, "PreviousSnapshotNotFound"),
        ("PUT", "/models/a", {"x-ms-type": "file"}, "MissingRequiredHeader"),
        ("PUT", "/models/a", {"x-ms-type": "file", "x-ms-content-length": "-1"}, "OutOfRangeInput"),
        ("PUT", "/models/a", {"x-ms-type": "file", "x-ms-content-length": "x"}, "InvalidHeaderValue"),
        ("PUT", "/models/d?restype=directory", {"x-ms-meta-a-b": "x"}, "InvalidMetadata"),
        ("PUT", "/models/d?restype=directory", {"x-ms-file-last-write-time": "soon"}, "InvalidHeaderValue"),
        ("GET", "/models?restype=directory&comp=list&maxresults=0", {}, "OutOfRangeQueryParameterValue"),
        ("GET", "/models?restype=directory&comp=list&marker=%21", {}, "InvalidQueryParameterValue"),
        ("DELETE", "/models?restype=directory", {}, "CannotDeleteFileOrDirectory"),
        ("GET", "/models/a", {"x-ms-range": "lines=1-2"}, "InvalidHeaderValue"),
        ("GET", "/models/%FF", {}, "InvalidUri"),
        ("GET", "/Models", {}, "InvalidResourceName"),
        ("GET", "/models", {}, "InvalidUri"),
    ],
)
def test_what_is_wrong_with_a_request_is_named(  # noqa: PLR0917 - two fixtures and a table's row
    server: Any, share: Any, method: str, path: str, headers: dict[str, str], code: str
) -> None:
    share.get_file_client("a").upload_file(b"abc")
    answer = send(server, method, f"/{server.account}{path}", headers)
    assert answer.headers["x-ms-error-code"] == code
    assert 400 <= answer.status_code < 500


def send(
    server: Any, method: str, path_and_query: str, headers: dict[str, str], body: bytes = b""
) -> httpx.Response:
    """The answer to a request that no SDK would make, signed."""
    with httpx.Client() as client:
        return client.send(signed_by_hand(server, method, path_and_query, headers, body))


def signed_by_hand(
    server: Any, method: str, path_and_query: str, headers: dict[str, str], body: bytes = b""
) -> httpx.Request:
    request = httpx.Request(
        method,
        server.url + path_and_query,
        headers=headers | {"x-ms-date": formatdate(time.time(), usegmt=True)},
        content=body,
    )
    text = string_to_sign(
        method=method,
        raw_path=request.url.raw_path.decode().partition("?")[0],
        query=httpx.QueryParams(request.url.query).multi_items(),
        headers={name.lower(): value for name, value in request.headers.items()},
        account=server.account,
    )
    digest = hmac.new(base64.b64decode(server.key), text.encode(), hashlib.sha256).digest()
    request.headers["authorization"] = f"SharedKey {server.account}:{base64.b64encode(digest).decode()}"
    return request
