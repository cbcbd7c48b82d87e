"""Bearer tokens for the log streams: made by getAuthToken, good for one app or environment and one hour."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from datetime import datetime, timedelta
from typing import Final

from containerapps_emulator.apps.clock import Clock
from containerapps_emulator.state import State

KIND: Final = "apps.token"
LIFETIME: Final = timedelta(hours=1)
HEADER: Final = {"alg": "HS256", "typ": "JWT"}


class Tokens:
    """The signing key is kept, so a token outlives a restart of the control plane."""

    def __init__(self, state: State, clock: Clock) -> None:
        self._clock = clock
        stored = state.get(KIND, "key")
        if stored is None:
            stored = {"key": secrets.token_hex(32)}
            state.put(KIND, "key", stored)
        self._key = bytes.fromhex(stored["key"])

    def issue(self, subject: str) -> tuple[str, datetime]:
        """A token and when it expires."""
        expires = self._clock.utc_now() + LIFETIME
        claims = {"sub": subject.lower(), "exp": expires.timestamp()}
        signed = f"{_encode(json.dumps(HEADER).encode())}.{_encode(json.dumps(claims).encode())}"
        return f"{signed}.{self._sign(signed)}", expires

    def accepts(self, token: str, subject: str) -> bool:
        signed, _, signature = token.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(signed).encode()):
            return False
        claims = json.loads(_decode(signed.partition(".")[2]))
        return bool(claims["sub"] == subject.lower() and claims["exp"] > self._clock.utc_now().timestamp())

    def _sign(self, signed: str) -> str:
        return _encode(hmac.digest(self._key, signed.encode(), hashlib.sha256))


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
