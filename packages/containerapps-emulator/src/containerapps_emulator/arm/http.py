"""ARM over HTTP: authentication, request bodies, and the form of responses and errors. Knows no route."""

from __future__ import annotations

import asyncio
import logging
import re
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from containerapps_emulator.arm.lenient_json import read
from containerapps_emulator.arm.rate_limits import RateLimits
from containerapps_emulator.arm.resources.resource import ArmError, as_arm_error
from containerapps_emulator.state import Json

_API_VERSION = re.compile(r"\d{4}-\d{2}-\d{2}(-[A-Za-z]+)?")
BODY_SECONDS = 60
MOST_BYTES = 4 * 1024 * 1024
asked_url: ContextVar[str] = ContextVar("asked_url", default="")
"""The address that the request at hand came to: what its answer names must be reachable for its sender."""
_log = logging.getLogger(__name__)


class AnyCaseRoute(Route):
    """A route whose fixed segments match in any case, as Azure's do; parameters keep their case."""

    def __init__(
        self, path: str, endpoint: Callable[[Request], Awaitable[Response]], *, methods: Sequence[str]
    ) -> None:
        super().__init__(path, endpoint, methods=list(methods))
        self.methods = set(methods)  # Starlette adds HEAD to GET routes and would answer 200
        self.path_regex = re.compile(self.path_regex.pattern, re.IGNORECASE)


class Guard:
    """Requires a bearer token and an api-version; turns ArmError into Azure's error response.

    `fault` may answer a request, by its method and path, instead of the app.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        accepts: Callable[[str], bool],
        tenant_id: str,
        fault: Callable[[str, str], Response | None] = lambda _method, _path: None,
    ) -> None:
        self._app = app
        self._fault = fault
        self._accepts = accepts
        self._tenant_id = tenant_id
        self._limits = RateLimits()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        asked_url.set(str(request.base_url).rstrip("/"))
        refusal = self._refusal(request)
        limits = self._limits.headers(request.method, request.url.path) if refusal is None else []
        tracked = _with_headers(send, limits)
        refusal = refusal or self._fault(request.method, request.url.path)
        if refusal is not None:
            await refusal(scope, receive, tracked)
            return
        try:
            await self._app(scope, receive, tracked)
        except HTTPException as refused:
            code = "MethodNotAllowed" if refused.status_code == 405 else "InvalidResourcePath"
            message = f"The local cloud does not support {request.method} {request.url.path}."
            unknown = ArmError(refused.status_code, code, message)
            await error_response(unknown)(scope, receive, tracked)
        except Exception as error:
            if not isinstance(error, ArmError):
                _log.exception("%s %s failed", request.method, request.url.path)
            await error_response(as_arm_error(error))(scope, receive, tracked)

    def _refusal(self, request: Request) -> Response | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not self._accepts(token):
            return self._unauthorized(missing=not scheme)
        version = _api_version(request)
        if version is None:
            return error_response(
                ArmError(
                    400,
                    "MissingApiVersionParameter",
                    "The api-version query parameter (?api-version=) is required for all requests.",
                )
            )
        if not _API_VERSION.fullmatch(version):
            message = f"The api-version '{version}' is invalid. It is a date such as '2024-03-01'."
            return error_response(ArmError(400, "InvalidApiVersionParameter", message))
        return None

    def _unauthorized(self, *, missing: bool) -> Response:
        code, message = "InvalidAuthenticationToken", "The access token is invalid."
        if missing:
            code = "AuthenticationFailed"
            message = "Authentication failed. The 'Authorization' header is missing."
        response = error_response(ArmError(401, code, message))
        response.headers["WWW-Authenticate"] = (
            f'Bearer authorization_uri="https://login.microsoftonline.com/{self._tenant_id}",'
            f' error="invalid_token", error_description="{message}"'
        )
        return response


def error_response(error: ArmError) -> Response:
    """Azure's error envelope."""
    return JSONResponse(
        {"error": error.to_json()}, status_code=error.status, headers={"x-ms-failure-cause": "gateway"}
    )


async def read_json(request: Request) -> Json:
    """The body as an object, {} if it is empty. Raises ArmError."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            data = await request.body()
    except TimeoutError:
        raise ArmError(408, "RequestTimeout", f"The body was not complete within {BODY_SECONDS} s.") from None
    if len(data) > MOST_BYTES:
        message = "The request content size exceeds the maximum size of 4 MB."
        raise ArmError(413, "RequestContentTooLarge", message)
    if not data:
        return {}
    try:
        body: Any = read(data)
    except ValueError as error:
        reason = str(error)
    else:
        if isinstance(body, dict):
            return body
        reason = "a JSON object is expected"
    raise ArmError(
        400,
        "InvalidRequestContent",
        f"The request content was invalid and could not be deserialized: '{reason}'.",
    )


def own_url(request: Request, path: str, **query: str) -> str:
    """An absolute URL of this server, with the host and api-version of the request."""
    base = str(request.base_url).rstrip("/")
    pairs = {"api-version": _api_version(request) or "", **query}
    return f"{base}{path}?" + "&".join(f"{key}={value}" for key, value in pairs.items())


def operation_result_url(request: Request, operation_id: str) -> str:
    """The URL that shows the result of one of Resource Manager's own operations."""
    subscription = request.path_params["subscription"]
    return own_url(request, f"/subscriptions/{subscription}/operationresults/{operation_id}")


def _api_version(request: Request) -> str | None:
    return next((value for key, value in request.query_params.items() if key.lower() == "api-version"), None)


def _with_headers(send: Send, limits: list[tuple[bytes, bytes]]) -> Send:
    """Add the headers that every response has: request ids, and what is left of the client's requests."""
    request_id = str(uuid.uuid4()).encode()

    async def tracked(message: Message) -> None:
        if message["type"] == "http.response.start":
            ids = [(b"x-ms-request-id", request_id), (b"x-ms-correlation-request-id", request_id)]
            message = {**message, "headers": [*message["headers"], *ids, *limits]}
        await send(message)

    return tracked
