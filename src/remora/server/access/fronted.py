"""Whom a client asked, where a front stands before the app. Owns both ends of that: its headers, its proof.

The ingress between front and app must find the app's own name in `Host`, so the front says in headers which
name and scheme its client used. The page's addresses, its guard and its cookies go by those. The headers are
signed with an API key, which the front has too: nobody else can make the app believe another name.
"""

from __future__ import annotations

import hashlib
import hmac

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from remora.project.api_keys import ApiKey
from remora.server.access.key_ring import KeyRing

HOST, SCHEME, PROOF = b"x-remora-front-host", b"x-remora-front-scheme", b"x-remora-front-proof"
PURPOSE = b"remora front v1:"
_SCHEMES = frozenset({b"http", b"https"})
_TAKEN_OVER = frozenset({b"host", b"x-forwarded-host", b"x-forwarded-proto", HOST, SCHEME, PROOF})


def fronted_headers(key: ApiKey, scope: Scope) -> list[tuple[bytes, bytes]]:
    """What the front adds to a request that came to it."""
    headers = Headers(scope=scope)
    host = headers.get("host", "").encode("latin-1")
    forwarded = headers.get("x-forwarded-proto", scope["scheme"]).encode("latin-1")
    scheme = forwarded if forwarded in _SCHEMES else b"http"
    return [(HOST, host), (SCHEME, scheme), (PROOF, _proof(key, host, scheme))]


class Fronted:
    """ASGI middleware of the app: takes over what a front says, where its proof is right."""

    def __init__(self, app: ASGIApp, keys: KeyRing) -> None:
        self.app = app
        self.keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            said = {name: value for name, value in scope["headers"] if name in (HOST, SCHEME, PROOF)}
            if PROOF in said:
                self._take_over(scope, said)
        await self.app(scope, receive, send)

    def _take_over(self, scope: Scope, said: dict[bytes, bytes]) -> None:
        host, scheme = said.get(HOST, b""), said.get(SCHEME, b"")
        proofs = [_proof(key, host, scheme) for key in self.keys.keys]
        if not any([hmac.compare_digest(proof, said[PROOF]) for proof in proofs]):  # noqa: C419 - all of them
            return
        others = [pair for pair in scope["headers"] if pair[0] not in _TAKEN_OVER]
        taken = [(b"host", host), (b"x-forwarded-host", host), (b"x-forwarded-proto", scheme)]
        scope["headers"] = [*others, *taken]


def _proof(key: ApiKey, host: bytes, scheme: bytes) -> bytes:
    text = PURPOSE + scheme + b":" + host
    return hmac.new(key.secret.encode(), text, hashlib.sha256).hexdigest().encode()
