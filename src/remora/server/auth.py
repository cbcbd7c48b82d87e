"""Who may ask. Owns which paths need a key, which a session and which nothing; issues neither.

    /healthz /readyz /login     open
    /v1/…                       `Authorization: Bearer KEY`
    everything else             a session, from signing in at /login

Without keys (`--no-auth`) nobody is asked, and then only requests that name this machine are answered: a web
page elsewhere could otherwise point its own name here and use the endpoint through its visitor's browser.
"""

from __future__ import annotations

import ipaddress

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from remora.errors import ForeignHost, InvalidApiKey, SignInRequired
from remora.server.problems import problem_response
from remora.server.sessions import COOKIE, Sessions

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/login"})
API_PREFIX = "/v1"


class KeyRequired:
    """ASGI middleware: lets through what the table above allows."""

    def __init__(self, app: ASGIApp, sessions: Sessions) -> None:
        self.app = app
        self.sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        path: str = scope["path"]
        if path in OPEN_PATHS:
            await self.app(scope, receive, send)
        elif path == API_PREFIX or path.startswith(f"{API_PREFIX}/"):
            await self._with_key(scope, receive, send)
        else:
            await self._with_session(scope, receive, send)

    async def _with_key(self, scope: Scope, receive: Receive, send: Send) -> None:
        scheme, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.sessions.key_matches(key.strip()):
            await self.app(scope, receive, send)
            return
        what = "this API key is not valid" if key else "no API key was sent"
        error = InvalidApiKey(what, hint="send the header 'Authorization: Bearer YOUR_KEY'")
        await problem_response(error)(scope, receive, send)

    async def _with_session(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = HTTPConnection(scope)
        if self.sessions.is_valid(connection.cookies.get(COOKIE, "")):
            await self.app(scope, receive, send)
            return
        wants_page = "text/html" in connection.headers.get("accept", "")
        if scope["type"] == "http" and scope["method"] == "GET" and wants_page:
            await RedirectResponse("/login", status_code=303)(scope, receive, send)
            return
        await problem_response(SignInRequired("sign in first", hint="open /login"))(scope, receive, send)


class LoopbackOnly:
    """ASGI middleware: answers only requests whose Host is a name of this machine."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host = Headers(scope=scope).get("host", "") if scope["type"] != "lifespan" else "localhost"
        if is_loopback(_without_port(host)):
            await self.app(scope, receive, send)
            return
        error = ForeignHost(f"{host!r} is no name of this machine", hint="use http://127.0.0.1 or an API key")
        await problem_response(error)(scope, receive, send)


def is_loopback(host: str) -> bool:
    """Whether this host name or address can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host
