"""The browser's sign-in. Owns the signed cookie; keeps no list of sessions and never the key itself.

A cookie is `expiry.signature`, signed with the API key that was typed in. So every replica of an endpoint
honours it, it outlives a restart, and taking a key away ends its sessions.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Sequence

COOKIE = "remora_session"
PURPOSE = b"remora session cookie v1:"


class Sessions:
    """Issues and checks session cookies. `now` gives seconds since the epoch."""

    def __init__(
        self, api_keys: Sequence[str], session_seconds: int, now: Callable[[], float] = time.time
    ) -> None:
        self.session_seconds = session_seconds
        self._keys = tuple(key.encode() for key in api_keys)
        self._now = now

    def key_matches(self, presented: str) -> bool:
        """Whether this is one of the keys; takes as long for a near miss as for a far one."""
        matches = [hmac.compare_digest(key, presented.encode(errors="replace")) for key in self._keys]
        return any(matches)

    def issue(self, api_key: str) -> str:
        """The cookie's value for someone who showed this key."""
        expiry = str(int(self._now()) + self.session_seconds)
        return f"{expiry}.{_signature(api_key.encode(), expiry)}"

    def is_valid(self, cookie: str) -> bool:
        expiry, _, signature = cookie.partition(".")
        if not (expiry.isascii() and expiry.isdigit()) or int(expiry[:20]) < self._now():
            return False
        presented = signature.encode(errors="replace")
        matches = [hmac.compare_digest(_signature(key, expiry).encode(), presented) for key in self._keys]
        return any(matches)


def _signature(key: bytes, expiry: str) -> str:
    return hmac.new(key, PURPOSE + expiry.encode(), hashlib.sha256).hexdigest()
