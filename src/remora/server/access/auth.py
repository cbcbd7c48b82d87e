"""Checks keys and sessions. Owns which paths need a key, a session or neither; issues none.

    probes /version /login      open
    /v1/… /api/… /metrics /(de)tokenize /info   `Authorization: Bearer KEY`, or in `api-key` or `x-api-key`
    everything else             a session, from signing in at /login; for a key there is nothing (404)

Whose key it was is known to everything behind this (`caller_of`), and `admin_only` keeps a route for admins.
Without keys (`--no-auth`) nobody is asked, and then only requests that name this machine are answered: a web
page elsewhere could otherwise point its own name here and use the endpoint through its visitor's browser.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from fastapi import Request
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from remora.errors import ForeignHost, InvalidApiKey, NotFound, RemoraError, SignInRequired
from remora.project.api_keys import ApiKey
from remora.server.access.key_ring import KeyRing
from remora.server.access.sessions import COOKIE, Sessions
from remora.server.wire.dialects import OLLAMA_PREFIX
from remora.server.wire.problems import API_PREFIX, WITHOUT_PREFIX, problem_response

PROBED_PATHS = frozenset({"/healthz", "/readyz", "/health", "/ping"})
OPEN_PATHS = PROBED_PATHS | {"/login", "/version"}
METRICS_PATH = "/metrics"
API_PATHS = frozenset(
    {API_PREFIX, METRICS_PATH, "/tokenize", "/detokenize", "/tokenizer_info", "/info", *WITHOUT_PREFIX}
)
API_BEGINNINGS = (OLLAMA_PREFIX, *(f"{path}/" for path in (API_PREFIX, *WITHOUT_PREFIX)))
KEY_HEADERS = ("api-key", "x-api-key")  # Azure's and Anthropic's clients
CALLER = "remora.caller"  # in the scope of a request


def is_api(path: str) -> bool:
    """Whether a key opens this path, and no session."""
    return path in API_PATHS or path.startswith(API_BEGINNINGS)


def caller_of(scope: Scope) -> ApiKey | None:
    """Whose key a request came with; None where nobody was asked for one."""
    caller: ApiKey | None = scope.get(CALLER)
    return caller


def admin_only(keys: KeyRing) -> Callable[[Request], None]:
    """A dependency for routes that only the admin key opens: `dependencies=[Depends(admin_only(keys))]`."""

    def check(request: Request) -> None:
        keys.check_admin(caller_of(request.scope))

    return check


class KeyRequired:
    """ASGI middleware: lets through what the table above allows."""

    def __init__(
        self, app: ASGIApp, keys: KeyRing, sessions: Sessions, open_paths: frozenset[str] = OPEN_PATHS
    ) -> None:
        self.app = app
        self.keys = keys
        self.sessions = sessions
        self.open_paths = open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        path: str = scope["path"]
        if path in self.open_paths:
            await self.app(scope, receive, send)
        elif is_api(path):
            await self._with_key(scope, receive, send)
        else:
            await self._with_session(scope, receive, send)

    async def _with_key(self, scope: Scope, receive: Receive, send: Send) -> None:
        presented = _presented(scope)
        caller = self.keys.find(presented) if presented else None
        if caller is not None:
            scope[CALLER] = caller
            await self.app(scope, receive, send)
            return
        await problem_response(_bad_key(presented))(scope, receive, send)

    async def _with_session(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = HTTPConnection(scope)
        caller = self.sessions.find(connection.cookies.get(COOKIE, ""))
        if caller is not None:
            scope[CALLER] = caller
            await self.app(scope, receive, send)
            return
        if presented := _presented(scope):
            await problem_response(self._nothing_for(presented, scope))(scope, receive, send)
            return
        wants_page = "text/html" in connection.headers.get("accept", "")
        if scope["type"] == "http" and scope["method"] == "GET" and wants_page:
            await RedirectResponse("/login", status_code=303)(scope, receive, send)
            return
        await problem_response(SignInRequired("sign in first", hint="open /login"))(scope, receive, send)

    def _nothing_for(self, presented: str, scope: Scope) -> RemoraError:
        """Who comes with a key is a program, and has taken the wrong path."""
        if self.keys.find(presented) is None:
            return _bad_key(presented)
        what = f"there is no {scope.get('method', 'GET')} {scope['path']} in this API"
        return NotFound(what, hint="see GET /v1/models; the chat page asks to sign in")


class LoopbackOnly:
    """ASGI middleware: answers only requests whose Host is a name of this machine.

    A key is not asked for, but one that is sent still says who calls: the admin key opens its routes.
    """

    def __init__(self, app: ASGIApp, keys: KeyRing) -> None:
        self.app = app
        self.keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        host = Headers(scope=scope).get("host", "")
        if is_loopback(without_port(host)):
            scope[CALLER] = self.keys.find(_presented(scope))
            await self.app(scope, receive, send)
            return
        error = ForeignHost(f"{host!r} is no name of this machine", hint="use http://127.0.0.1 or an API key")
        await problem_response(error)(scope, receive, send)


def without_port(host: str) -> str:
    """The name in a Host header."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


def is_loopback(host: str) -> bool:
    """Whether this host name or address can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _presented(scope: Scope) -> str:
    """The key in the headers, empty where there is none."""
    headers = Headers(scope=scope)
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return key.strip()
    return next((headers[name] for name in KEY_HEADERS if name in headers), "")


def _bad_key(presented: str) -> InvalidApiKey:
    what = "this API key is not valid" if presented else "no API key was sent"
    return InvalidApiKey(what, hint="send the header 'Authorization: Bearer YOUR_KEY'")
