"""Requests that another web page makes through its visitor's browser. Owns refusing them; knows no keys.

A page elsewhere can make a browser send requests here: to sign it in with a foreign key, to ask in its
visitor's name, or, where its own name leads to this machine, to read the answers. A browser says for whom it
asks (`Origin`, `Sec-Fetch-Site`) and whom it thinks it asks (`Host`); other clients send no origin.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from remora.errors import ForeignHost, ForeignOrigin, RemoraError
from remora.server.access.auth import PROBED_PATHS, is_api, without_port
from remora.server.wire.problems import problem_response

READING = frozenset({"GET", "HEAD", "OPTIONS"})
OWN_SITES = frozenset({"same-origin", "none"})  # "none": the user typed the address


class PageGuard:
    """ASGI middleware. The API is let through where it asks for a key, which no browser adds by itself."""

    def __init__(
        self, app: ASGIApp, allowed_hosts: Sequence[str], cors_origins: Sequence[str], *, api_has_keys: bool
    ) -> None:
        self.app = app
        self.allowed_hosts = frozenset(host.lower() for host in allowed_hosts)
        self.cors_origins = frozenset(cors_origins)
        self.api_has_keys = api_has_keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if self._guards(scope) else None
        if refusal is None:
            await self.app(scope, receive, send)
        else:
            await problem_response(refusal)(scope, receive, send)

    def _guards(self, scope: Scope) -> bool:
        if scope["type"] != "http" or scope["path"] in PROBED_PATHS:
            return False
        return not (self.api_has_keys and is_api(scope["path"]))

    def _refusal(self, scope: Scope) -> RemoraError | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        if self.allowed_hosts and without_port(host) not in self.allowed_hosts:
            return ForeignHost(f"{host!r} is not a name of this endpoint", hint="see serve.allowed_hosts")
        origin = headers.get("origin")
        if origin is None:
            site = headers.get("sec-fetch-site", "none")
            if scope["method"] in READING or site in OWN_SITES:
                return None
            return ForeignOrigin("another site's page asked for this", hint="open the endpoint's own page")
        own_names = {host, headers.get("x-forwarded-host", "").lower()} - {""}
        if urlsplit(origin.lower()).netloc in own_names or self._is_cors(origin, scope):
            return None
        return ForeignOrigin(f"the page at {origin!r} may not do this", hint="see serve.cors_origins")

    def _is_cors(self, origin: str, scope: Scope) -> bool:
        return is_api(scope["path"]) and bool({origin, "*"} & self.cors_origins)
