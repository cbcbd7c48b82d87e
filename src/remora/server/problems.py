"""Errors as clients see them. Owns the table from our errors to OpenAI's error body; raises nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from remora.errors import InvalidInput, NotFound, RemoraError, UnsupportedParameter

ErrorBody = dict[str, dict[str, str | None]]

# OpenAI's `type` and our extra headers, by HTTP status.
TYPES: Mapping[int, str] = {
    401: "authentication_error",
    429: "rate_limit_error",
    500: "server_error",
    502: "server_error",
    503: "server_error",
    504: "server_error",
}
HEADERS: Mapping[int, Mapping[str, str]] = {
    401: {"www-authenticate": 'Bearer realm="remora"'},
    429: {"retry-after": "1", "retry-after-ms": "1000"},
    503: {"retry-after": "5"},
    504: {"x-should-retry": "false"},  # OpenAI's clients would ask for the same long answer again
}
# What the framework itself refuses, as codes of ours.
FRAMEWORK_CODES: Mapping[int, str] = {
    404: "not_found",
    405: "method_not_allowed",
    413: "request_too_large",
}
# pydantic's kinds of fault that say more than "invalid value".
UNSUPPORTED = "extra_forbidden"
MISSING = "missing"


def error_body(error: RemoraError) -> ErrorBody:
    """OpenAI's error object; the hint is part of the message, since clients show nothing else."""
    message = f"{error.message}; {error.hint}" if error.hint else error.message
    return _body(message, error.http_status, error.code, error.param)


def problem_response(error: RemoraError) -> JSONResponse:
    status = error.http_status
    return JSONResponse(error_body(error), status_code=status, headers=dict(HEADERS.get(status, {})))


def install_problem_handlers(app: FastAPI) -> None:
    """Make every refusal of this application an OpenAI error body."""

    @app.exception_handler(RemoraError)
    async def remora_error(_: Request, error: RemoraError) -> JSONResponse:
        return problem_response(error)

    @app.exception_handler(RequestValidationError)
    async def validation_error(_: Request, error: RequestValidationError) -> JSONResponse:
        return problem_response(_invalid_request(error.errors()[0]))

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        code = FRAMEWORK_CODES.get(error.status_code, "invalid_request")
        message = f"{request.method} {request.url.path}: {error.detail}"
        body = _body(message, error.status_code, code, None)
        return JSONResponse(body, status_code=error.status_code, headers=error.headers)


def unknown_route() -> APIRouter:
    """Whatever no route of the API took, so that it does not fall through to the page. Include it last."""
    router = APIRouter()

    @router.api_route(
        "/v1/{path:path}", include_in_schema=False, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]
    )
    async def refuse(request: Request) -> None:
        raise NotFound(f"there is no {request.method} {request.url.path}", hint="see GET /v1/models")

    return router


def _body(message: str, status: int, code: str, param: str | None) -> ErrorBody:
    kind = TYPES.get(status, "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _invalid_request(fault: Mapping[str, Any]) -> RemoraError:
    param = _param(fault["loc"])
    if fault["type"] == UNSUPPORTED:
        return UnsupportedParameter(f"the parameter {param!r} is not supported", param=param)
    if fault["type"] == MISSING and param is not None:
        return InvalidInput(f"the parameter {param!r} is missing", param=param)
    if param is None:
        hint = "send a JSON object with Content-Type: application/json"
        return InvalidInput(f"the request body is not valid: {fault['msg']}", hint=hint)
    return InvalidInput(f"{param!r} is not valid: {fault['msg']}", param=param)


def _param(location: tuple[str | int, ...]) -> str | None:
    """`("body", "messages", 0, "role")` as `messages[0].role`; JSON syntax errors have only an offset."""
    path = ""
    for part in location[1:]:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part.isidentifier():
            path += f".{part}" if path else part
    return path if path and not path.startswith("[") else None
