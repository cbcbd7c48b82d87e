"""Errors as answers. Owns their headers and what of a request is named; raises nothing.

The form of the body is the one of the API that was asked: see `dialects`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from remora.errors import InvalidInput, NotFound, RemoraError, UnsupportedParameter, disk_error
from remora.server.wire.dialects import OLLAMA_PREFIX, OPENAI, Problem, dialect_of, problem_of

# Our extra headers, by HTTP status.
HEADERS: Mapping[int, Mapping[str, str]] = {
    401: {"www-authenticate": 'Bearer realm="remora"'},
    429: {"retry-after": "1", "retry-after-ms": "1000"},
    503: {"retry-after": "5"},
    504: {"x-should-retry": "false"},  # OpenAI's clients would ask for the same long answer again
}
API_PREFIX = "/v1"
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
# Where a client asks whose base URL lacks the prefix.
WITHOUT_PREFIX = ("/chat/completions", "/completions", "/responses", "/models", "/embeddings")
# What the framework itself refuses, as codes of ours.
FRAMEWORK_CODES: Mapping[int, str] = {
    404: "not_found",
    405: "method_not_allowed",
    413: "request_too_large",
}
# pydantic's kinds of fault that say more than "invalid value".
UNSUPPORTED = "extra_forbidden"
MISSING = "missing"
# Ours, raised where a schema checks: with the field's name in their context, which pydantic puts no path to.
UNSUPPORTED_VALUE = "unsupported_value"
FAULT = "fault"


class ProblemResponse(JSONResponse):
    """An error; where it is sent it takes the form of the API that was asked."""

    def __init__(self, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(OPENAI.body(problem), status_code=problem.status, headers=headers)
        self._problem = problem

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.body = self.render(dialect_of(scope["path"]).body(self._problem))
        self.headers["content-length"] = str(len(self.body))
        await super().__call__(scope, receive, send)


def problem_response(error: RemoraError) -> ProblemResponse:
    return ProblemResponse(problem_of(error), dict(HEADERS.get(error.http_status, {})))


def install_problem_handlers(app: FastAPI) -> None:
    """Make every refusal of this application an error in the form of the API that was asked."""

    @app.exception_handler(RemoraError)
    async def remora_error(_: Request, error: RemoraError) -> JSONResponse:
        return problem_response(error)

    @app.exception_handler(OSError)
    async def system_error(_: Request, error: OSError) -> JSONResponse:
        if full := disk_error(error):
            return problem_response(full)
        raise error

    @app.exception_handler(RequestValidationError)
    async def validation_error(_: Request, error: RequestValidationError) -> JSONResponse:
        return problem_response(_invalid_request(error.errors()[0]))

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        code = FRAMEWORK_CODES.get(error.status_code, "invalid_request")
        message = f"{request.method} {request.url.path}: {error.detail}"
        return ProblemResponse(Problem(message, error.status_code, code), error.headers)


def unknown_route() -> APIRouter:
    """Whatever no route of the API took, so that it does not fall through to the page. Include it last.

    A client whose base URL lacks `/v1`, or has it twice, is told the right one.
    """
    router = APIRouter()

    async def refuse(request: Request) -> None:
        path = request.url.path
        misplaced = not path.startswith(f"{API_PREFIX}/") or path.startswith(f"{API_PREFIX}{API_PREFIX}")
        hint = f"set the client's base URL to {_base_url(request)}" if misplaced else "see GET /v1/models"
        raise NotFound(f"there is no {request.method} {path}", hint=hint)

    async def refuse_ollama(request: Request) -> None:
        hint = "of Ollama there are version, tags, show, chat and generate, where [serve] ollama = true"
        raise NotFound(f"there is no {request.method} {request.url.path}", hint=hint)

    paths = [f"{API_PREFIX}/{{path:path}}", API_PREFIX]
    paths += [path for name in WITHOUT_PREFIX for path in (name, f"{name}/{{path:path}}")]
    for path in paths:
        router.add_api_route(path, refuse, include_in_schema=False, methods=METHODS)
    path = f"{OLLAMA_PREFIX}{{path:path}}"
    router.add_api_route(path, refuse_ollama, include_in_schema=False, methods=METHODS)
    return router


def _base_url(request: Request) -> str:
    """The API's, as the client sees it, also where a proxy ends its TLS."""
    scheme = request.headers.get("x-forwarded-proto", request.url.scheme)
    return f"{'https' if scheme == 'https' else 'http'}://{request.url.netloc}{API_PREFIX}"


def _invalid_request(fault: Mapping[str, Any]) -> RemoraError:
    context = fault.get("ctx", {})
    if fault["type"] in (UNSUPPORTED_VALUE, FAULT):
        field = context["field"]
        param = _param((*fault["loc"], field) if field else fault["loc"])
        kind = UnsupportedParameter if fault["type"] == UNSUPPORTED_VALUE else InvalidInput
        text = context["text"] or f"the parameter {param!r} is not supported"
        if param and (not field or field not in text):
            text = f"{param!r}: {text}"
        return kind(text, hint=context["hint"], param=param)
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
