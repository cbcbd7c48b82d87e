"""How each API says that something failed. Owns error bodies and the ends of streams; raises nothing.

The code that refuses a request knows its path and nothing of the API behind it, so the path decides:

    /v1/messages…   Anthropic's
    /api/NAME       Ollama's
    all others      OpenAI's
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from remora.errors import ContextLengthExceeded, RemoraError
from remora.server.wire.encoding import DONE, encode, encode_line, encode_named

ErrorBody = Mapping[str, Any]

MESSAGES_PATH, OLLAMA_PREFIX = "/v1/messages", "/api/"
# OpenAI's `type` and Anthropic's, by HTTP status; those that are missing are the client's mistakes.
OPENAI_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    429: "rate_limit_error",
    500: "server_error",
    502: "server_error",
    503: "server_error",
    504: "server_error",
}
ANTHROPIC_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
}
ANTHROPIC_OVERFLOW = "prompt is too long"  # what agents look for before they shorten a conversation


@dataclass(frozen=True, slots=True)
class Problem:
    """What a client is told. `param` is the field at fault."""

    message: str
    status: int
    code: str
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Dialect:
    """`body` is an error as an answer, `encode` one event of a stream and `end` what comes after the last.

    `keep_alive` is sent while nothing comes, where the form of a stream has room for it; `id_header` names
    the request beside our own header.
    """

    body: Callable[[Problem], ErrorBody]
    encode: Callable[[ErrorBody], bytes]
    end: bytes = b""
    keep_alive: bytes = b""
    id_header: bytes = b""

    def last(self, error: RemoraError) -> bytes:
        """The end of a stream that failed; its status is long sent."""
        return self.encode(self.body(problem_of(error))) + self.end


def problem_of(error: RemoraError) -> Problem:
    """The hint is part of the message, since clients show nothing else."""
    message = f"{error.message}; {error.hint}" if error.hint else error.message
    return Problem(message, error.http_status, error.code, error.param)


def dialect_of(path: str) -> Dialect:
    """The API at this path."""
    if path == MESSAGES_PATH or path.startswith(f"{MESSAGES_PATH}/"):
        return ANTHROPIC
    is_ollamas = path.startswith(OLLAMA_PREFIX) and "/" not in path.removeprefix(OLLAMA_PREFIX)
    return OLLAMA if is_ollamas else OPENAI


def _openai(problem: Problem) -> ErrorBody:
    kind = OPENAI_TYPES.get(problem.status, "invalid_request_error")
    error = {"message": problem.message, "type": kind, "param": problem.param, "code": problem.code}
    return {"error": error}


def _anthropic(problem: Problem) -> ErrorBody:
    """With our code and field beside what Anthropic has."""
    message = problem.message
    if problem.code == ContextLengthExceeded.code:
        message = f"{ANTHROPIC_OVERFLOW}: {message}"
    kind = ANTHROPIC_TYPES.get(problem.status, "invalid_request_error")
    error = {"type": kind, "message": message, "param": problem.param, "code": problem.code}
    return {"type": "error", "error": error}


def _ollama(problem: Problem) -> ErrorBody:
    return {"error": problem.message}


OPENAI = Dialect(_openai, encode, end=DONE, keep_alive=b": waiting\n\n")  # a comment: clients skip it
ANTHROPIC = Dialect(
    _anthropic, encode_named, keep_alive=encode_named({"type": "ping"}), id_header=b"request-id"
)
OLLAMA = Dialect(_ollama, encode_line)
