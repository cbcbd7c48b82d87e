"""What a request asked for and did not get, where the endpoint is not strict. Owns one list a request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_ignored: ContextVar[list[str] | None] = ContextVar("ignored", default=None)


@contextmanager
def lenient() -> Iterator[list[str]]:
    """Inside, unknown fields are left out of a body instead of refused; their names come into the list."""
    names: list[str] = []
    token = _ignored.set(names)
    try:
        yield names
    finally:
        _ignored.reset(token)


def ignored() -> list[str] | None:
    """Where to note a field that is ignored; None where it must be refused."""
    return _ignored.get()
