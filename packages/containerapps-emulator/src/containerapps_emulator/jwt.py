"""Signs and verifies JSON Web Tokens with one key. Does not interpret the claims."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any, Final

_HEADER: Final = {"alg": "HS256", "typ": "JWT"}


def sign(claims: dict[str, Any], key: bytes) -> str:
    """The token: three base64 parts, separated by dots."""
    signed = f"{_encode(json.dumps(_HEADER).encode())}.{_encode(json.dumps(claims).encode())}"
    return f"{signed}.{_signature(signed, key)}"


def read(token: str, key: bytes) -> dict[str, Any] | None:
    """The claims, or None if the token was not signed with this key."""
    signed, _, signature = token.rpartition(".")
    if not hmac.compare_digest(signature.encode(), _signature(signed, key).encode()):
        return None
    claims: dict[str, Any] = json.loads(_decode(signed.partition(".")[2]))
    return claims


def _signature(signed: str, key: bytes) -> str:
    return _encode(hmac.digest(key, signed.encode(), hashlib.sha256))


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
