"""User delegation keys: an identity gets one for some days, and signs tokens with it. Stores nothing.

The value of a key is made from all that is said of it, so that a token which names this can be verified.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from containerapps_emulator.storage.errors import FilesError

FIELDS: Final = ("skoid", "sktid", "skt", "ske", "sks", "skv", "skdutid")
"""In a token: object and tenant of the identity; start, expiry, service and version of the key; the tenant of
whom the token is for."""
_TIMES: Final = ("Start", "Expiry")
_MAX_SECONDS: Final = 7 * 24 * 60 * 60


def issue(identity: Mapping[str, Any], asked: Mapping[str, str], version: str, now: float) -> dict[str, str]:
    """What is said of the new key. `asked` is the KeyInfo of the request. Raises FilesError."""
    if "oid" not in identity:
        raise FilesError("AuthenticationFailed", "A user delegation key is for who has a bearer token.")
    try:
        start, expiry = (_seconds(asked[name]) if asked.get(name) else now for name in _TIMES)
    except (ValueError, OverflowError):
        raise FilesError("InvalidXmlNodeValue", f"KeyInfo: {dict(asked)}") from None
    if not max(start, now) < expiry <= now + _MAX_SECONDS:
        raise FilesError("InvalidXmlNodeValue", f"Expiry: {asked.get('Expiry')}; a key lasts up to 7 days.")
    values = (
        identity["oid"],
        identity["tid"],
        *(f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%dT%H:%M:%SZ}" for moment in (start, expiry)),
        "f",
        version,
        asked.get("DelegatedUserTid", ""),
    )
    return dict(zip(FIELDS, map(str, values), strict=True))


def _seconds(text: str) -> float:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def value(secret: str, account: str, said: Mapping[str, str]) -> str:
    """The key in base64. `secret` is this cloud's."""
    text = "\n".join((account, *(said.get(name, "") for name in FIELDS)))
    return base64.b64encode(hmac.digest(secret.encode(), text.encode(), hashlib.sha256)).decode()
