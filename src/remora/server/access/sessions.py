"""The browser's sign-in. Owns the signed cookie, and which cookies were signed out; never keeps the key.

A cookie is `expiry.nonce.signature`, signed with the API key that was typed in. So every replica of an
endpoint honours it, it outlives a restart, and taking a key away ends its sessions everywhere. Signing out
ends one session on this replica for as long as it runs: others know of a session what its cookie says.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

from remora.project.api_keys import ApiKey
from remora.server.access.key_ring import KeyRing

COOKIE = "remora_session"
PURPOSE = b"remora session cookie v2:"
NONCE_BYTES = 16
MOST_ENDED = 10_000  # only who has a key adds to them


class Sessions:
    """Issues and checks session cookies. `now` gives seconds since the epoch."""

    def __init__(self, keys: KeyRing, session_seconds: int, now: Callable[[], float] = time.time) -> None:
        self.session_seconds = session_seconds
        self._keys = keys
        self._now = now
        self._ended: OrderedDict[str, int] = OrderedDict()  # signatures, with when they expire

    def issue(self, key: ApiKey) -> str:
        """The cookie's value for someone who showed this key."""
        signed = f"{int(self._now()) + self.session_seconds}.{secrets.token_hex(NONCE_BYTES)}"
        return f"{signed}.{_signature(key, signed)}"

    def end(self, cookie: str) -> None:
        """Sign out: from now on this cookie opens nothing. One that opens nothing anyway is a no-op."""
        if self.find(cookie) is None:
            return
        expiry, _, signature = cookie.split(".")
        self._ended[signature] = int(expiry)
        now = self._now()
        for ended, expires_at in [*self._ended.items()]:
            if expires_at < now or len(self._ended) > MOST_ENDED:
                del self._ended[ended]

    def find(self, cookie: str) -> ApiKey | None:
        """The key that this cookie was issued for; None where it has run out or is not one of ours."""
        signed, _, signature = cookie.rpartition(".")
        expiry = signed.partition(".")[0]
        if not (expiry.isascii() and expiry.isdigit()) or int(expiry[:20]) < self._now():
            return None
        if signature in self._ended:
            return None
        presented = signature.encode(errors="replace")
        found = None
        for key in self._keys.keys:
            if hmac.compare_digest(_signature(key, signed).encode(), presented):
                found = found or key
        return found


def _signature(key: ApiKey, signed: str) -> str:
    text = PURPOSE + signed.encode(errors="replace")
    return hmac.new(key.secret.encode(), text, hashlib.sha256).hexdigest()
