"""Verifies the SharedKey signature of a request. Reads no storage and no body.

The string to sign is that of Microsoft's "Authorize with Shared Key", for path-style URLs: the account
is both the first part of the URL's path and prepended to it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Final

from containerapps_emulator.storage.errors import FilesError

_SIGNED_HEADERS: Final = (
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
)
_MAX_SKEW_SECONDS: Final = 15 * 60


def verify(
    *,
    method: str,
    raw_path: str,
    query: Iterable[tuple[str, str]],
    headers: Mapping[str, str],
    account: str,
    keys: Sequence[str],
    now: float,
) -> None:
    """Raise FilesError unless one of the base64 `keys` signed this request.

    Header names are lower-case. An empty `keys` means that there is no such account.
    """
    authorization = headers.get("authorization", "")
    if not authorization:
        raise FilesError("NoAuthenticationInformation", "Sign the request with the account's key.")
    scheme, _, rest = authorization.partition(" ")
    signer, _, signature = rest.partition(":")
    if scheme != "SharedKey" or signer != account:
        raise FilesError("AuthenticationFailed", f"Only 'SharedKey {account}:…' is accepted here.")
    if not keys:
        raise FilesError("AuthenticationFailed", f"There is no storage account '{account}' here.")
    _check_date(headers, now)
    text = string_to_sign(method=method, raw_path=raw_path, query=query, headers=headers, account=account)
    if not _signed_by_any(keys, text, signature):
        raise FilesError("AuthenticationFailed", "The signature does not match either of the account's keys.")


def string_to_sign(
    *, method: str, raw_path: str, query: Iterable[tuple[str, str]], headers: Mapping[str, str], account: str
) -> str:
    values = [headers.get(name, "") for name in _SIGNED_HEADERS]
    if values[2] == "0":
        values[2] = ""
    if "x-ms-date" in headers:
        values[5] = ""
    special = sorted((name for name in headers if name.startswith("x-ms-")), key=_service_order)
    lines = [method, *values, *(f"{name}:{headers[name].strip()}" for name in special)]
    return "\n".join([*lines, f"/{account}{raw_path}", *_query_lines(query)])


def _query_lines(query: Iterable[tuple[str, str]]) -> list[str]:
    values: dict[str, list[str]] = {}
    for name, value in query:
        values.setdefault(name.lower(), []).append(value)
    return [f"{name}:{','.join(sorted(values[name]))}" for name in sorted(values)]


def _service_order(name: str) -> tuple[str, list[bool]]:
    """Header names sort by culture, not by byte: hyphens count last, and "_" sorts before digits."""
    return name.replace("-", "").replace("_", " "), [character == "-" for character in name]


def _check_date(headers: Mapping[str, str], now: float) -> None:
    text = headers.get("x-ms-date") or headers.get("date", "")
    try:
        sent = parsedate_to_datetime(text).timestamp()
    except ValueError:
        raise FilesError("AuthenticationFailed", f"'{text}' is not a date; send x-ms-date.") from None
    if abs(now - sent) > _MAX_SKEW_SECONDS:
        raise FilesError("AuthenticationFailed", f"The request's date {text} is more than 15 minutes off.")


def _signed_by_any(keys: Sequence[str], text: str, signature: str) -> bool:
    """Compare with every key in constant time, so that timing reveals nothing about them."""
    matches = [hmac.compare_digest(_sign(key, text), signature.encode()) for key in keys]
    return any(matches)


def _sign(key: str, text: str) -> bytes:
    digest = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest)
