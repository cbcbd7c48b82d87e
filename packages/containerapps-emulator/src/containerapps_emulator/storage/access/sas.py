"""Shared access signatures: verifies a token and what it allows. Pure; reads no storage and no body.

The strings to sign are those of Microsoft's "Create an account SAS" and "Create a service SAS", for
version 2020-12-06 and later. A token may take its times and permissions from a stored access policy.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from containerapps_emulator.storage.access import delegation
from containerapps_emulator.storage.errors import FilesError
from containerapps_emulator.storage.names import Target

Policies = Callable[[], Mapping[str, Mapping[str, str]]]
"""The stored access policies of the requested share, by id: Start, Expiry, Permission."""

_EARLIEST_VERSION: Final = "2020-12-06"
_ACCOUNT_FIELDS: Final = ("sp", "ss", "srt", "st", "se", "sip", "spr", "sv", "ses")
_SERVICE_FIELDS: Final = ("si", "sip", "spr", "sv", "rscc", "rscd", "rsce", "rscl", "rsct")
_DELEGATED_FIELDS: Final = (*delegation.FIELDS, "sduoid", *_SERVICE_FIELDS[1:])
_FROM_POLICY: Final = {"sp": "Permission", "st": "Start", "se": "Expiry"}
_RESOURCE_TYPES: Final = {"account": "s", "share": "c"}
READING: Final = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Grant:
    """What a verified token allows. `resource_types` is empty for a token for one share or file."""

    permissions: str
    resource_types: str

    def require(self, subject: str, method: str, comp: str) -> None:
        """Raise FilesError unless the operation is allowed."""
        resource_type = (
            "c" if comp == "list" and subject == "directory" else _RESOURCE_TYPES.get(subject, "o")
        )
        if self.resource_types and resource_type not in self.resource_types:
            raise FilesError("AuthorizationResourceTypeMismatch", f"srt={self.resource_types}")
        if not self.resource_types and subject in _RESOURCE_TYPES:
            raise FilesError("AuthorizationFailure", f"The token is for a share or file, not a {subject}.")
        if not set(_permissions(method, comp)) & set(self.permissions):
            raise FilesError("AuthorizationPermissionMismatch", f"sp={self.permissions}")


def verify_sas(
    *,
    target: Target,
    query: Mapping[str, str],
    keys: Sequence[str],
    policies: Policies,
    client_ip: str,
    scheme: str,
    now: float,
    secret: str,
) -> Grant:
    """What the token in `query` allows on `target`. Raises FilesError if it is forged, out of date or for
    another place."""
    is_account = "ss" in query
    text = _account_text(target, query) if is_account else _service_text(target, query)
    if query.get("sv", "") < _EARLIEST_VERSION:
        raise FilesError("AuthenticationFailed", "Only tokens with sv=2020-12-06 or later are valid.")
    if "skoid" in query:
        if is_account or "si" in query or query.get("sks") != "f" or not keys:
            raise FilesError("AuthenticationFailed", "A user delegation key signs tokens for files only.")
        _check_times({"st": query.get("skt", ""), "se": query.get("ske", "")}, now)
        keys = [delegation.value(secret, target.account, query)]
    matches = [hmac.compare_digest(_sign(key, text), query["sig"].encode()) for key in keys]
    if not any(matches):
        raise FilesError("AuthenticationFailed", "The token is not signed with one of the account's keys.")
    if is_account and "f" not in query["ss"]:
        raise FilesError("AuthorizationServiceMismatch", f"ss={query['ss']}")
    said = _completed(query, policies)
    _check_times(said, now)
    _check_origin(query, client_ip, scheme)
    return Grant(said["sp"], query.get("srt", "") if is_account else "")


def require_user(query: Mapping[str, str], identity: Mapping[str, Any]) -> None:
    """Raise FilesError unless the claims are those of the user whom a token is for, if it is for one."""
    if "sduoid" not in query:
        return
    wanted = {"oid": query["sduoid"], "tid": query.get("skdutid") or identity.get("tid")}
    for claim, value in wanted.items():
        if identity.get(claim) != value:
            raise FilesError("AuthenticationFailed", f"The token is for {value}, not for the bearer.")


def _permissions(method: str, comp: str) -> str:
    """The letters of which a token must have at least one."""
    if method in READING:
        return "l" if comp == "list" else "r"
    if method == "DELETE":
        return "d"
    return "w" if comp else "cw"


def _account_text(target: Target, query: Mapping[str, str]) -> str:
    return "\n".join([target.account, *(query.get(name, "") for name in _ACCOUNT_FIELDS), ""])


def _service_text(target: Target, query: Mapping[str, str]) -> str:
    """A token for a share covers everything in it; one for a file names the file's path."""
    resource = {"s": (), "f": target.path}.get(query.get("sr", ""))
    if resource is None or not target.share or (query["sr"] == "f" and not target.path):
        raise FilesError("AuthenticationFailed", f"sr={query.get('sr', '')} does not match the URL.")
    place = "/".join(["/file", target.account, target.share, *resource])
    times = [query.get(name, "") for name in ("sp", "st", "se")]
    fields = _DELEGATED_FIELDS if "skoid" in query else _SERVICE_FIELDS
    return "\n".join([*times, place, *(query.get(name, "") for name in fields)])


def _completed(query: Mapping[str, str], policies: Policies) -> dict[str, str]:
    """`sp`, `st` and `se`, from the token or from the policy that it names, but not from both."""
    said = {name: query.get(name, "") for name in _FROM_POLICY}
    if "si" not in query:
        return said
    policy = policies().get(query["si"])
    if policy is None:
        raise FilesError("AuthenticationFailed", f"The share has no access policy '{query['si']}'.")
    for name, title in _FROM_POLICY.items():
        if said[name] and policy.get(title):
            raise FilesError("AuthenticationFailed", f"Both the token and its access policy set {name}.")
        said[name] = said[name] or policy.get(title, "")
    return said


def _check_times(said: Mapping[str, str], now: float) -> None:
    if not said["se"]:
        raise FilesError("AuthenticationFailed", "The token has no expiry.")
    if now >= _seconds(said["se"]):
        raise FilesError("AuthenticationFailed", f"The token expired at {said['se']}.")
    if said["st"] and now < _seconds(said["st"]):
        raise FilesError("AuthenticationFailed", f"The token is not valid before {said['st']}.")


def _check_origin(query: Mapping[str, str], client_ip: str, scheme: str) -> None:
    if scheme not in (query.get("spr") or scheme).split(","):
        raise FilesError("AuthorizationProtocolMismatch", f"spr={query['spr']}")
    wanted = query.get("sip", "")
    if wanted and not _is_within(client_ip, wanted):
        raise FilesError("AuthorizationSourceIPMismatch", f"sip={wanted}; the request is from {client_ip}.")


def _is_within(address: str, wanted: str) -> bool:
    first, _, last = wanted.partition("-")
    try:
        low, high = ipaddress.IPv4Address(first), ipaddress.IPv4Address(last or first)
        return low <= ipaddress.IPv4Address(address) <= high
    except ValueError:
        return False


def _seconds(text: str) -> float:
    """Seconds since 1970 of an ISO date or time; a time without a zone is UTC."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise FilesError("AuthenticationFailed", f"'{text}' is not a time.") from None


def _sign(key: str, text: str) -> bytes:
    return base64.b64encode(hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest())
