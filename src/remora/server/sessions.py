"""The browser's sign-in. Owns the signed cookie; keeps no list of sessions and never the key itself.

A cookie is `expiry.signature`, signed with the API key that was typed in. So every replica of an endpoint
honours it, it outlives a restart, and taking a key away ends its sessions.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable

from remora.project.api_keys import ApiKey
from remora.server.key_ring import KeyRing

COOKIE = "remora_session"
PURPOSE = b"remora session cookie v1:"


class Sessions:
    """Issues and checks session cookies. `now` gives seconds since the epoch."""

    def __init__(self, keys: KeyRing, session_seconds: int, now: Callable[[], float] = time.time) -> None:
        self.session_seconds = session_seconds
        self._keys = keys
        self._now = now

    def issue(self, key: ApiKey) -> str:
        """The cookie's value for someone who showed this key."""
        expiry = str(int(self._now()) + self.session_seconds)
        return f"{expiry}.{_signature(key, expiry)}"

    def find(self, cookie: str) -> ApiKey | None:
        """The key that this cookie was issued for; None where it has run out or is not one of ours."""
        expiry, _, signature = cookie.partition(".")
        if not (expiry.isascii() and expiry.isdigit()) or int(expiry[:20]) < self._now():
            return None
        presented = signature.encode(errors="replace")
        found = None
        for key in self._keys.keys:
            if hmac.compare_digest(_signature(key, expiry).encode(), presented):
                found = found or key
        return found


def _signature(key: ApiKey, expiry: str) -> str:
    return hmac.new(key.secret.encode(), PURPOSE + expiry.encode(), hashlib.sha256).hexdigest()
