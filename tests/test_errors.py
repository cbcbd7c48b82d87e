"""The error tree is drawn at the top of `errors.py`; the drawing and the classes are the same."""

from __future__ import annotations

import re

from remora import errors
from remora.errors import RemoraError

LINE = re.compile(r"(\w+) +(?:exit (\d+) +)?HTTP (\d{3}) +(\w+)$")


def test_the_drawing_is_the_tree() -> None:
    drawn = {}
    for line in (errors.__doc__ or "").splitlines():
        if match := LINE.search(line):
            name, exit_code, status, code = match.groups()
            kind = getattr(errors, name)
            drawn[kind] = name
            assert (kind.code, kind.http_status) == (code, int(status))
            assert exit_code is None or kind.exit_code == int(exit_code)
    assert set(drawn) == {RemoraError, *subclasses(RemoraError)}


def subclasses(kind: type[RemoraError]) -> set[type[RemoraError]]:
    """Every class below `kind` that the module itself defines."""
    found = {child for child in kind.__subclasses__() if child.__module__ == errors.__name__}
    return found.union(*(subclasses(child) for child in found))


def test_no_error_is_defined_anywhere_else() -> None:
    import remora.server.app  # noqa: F401 - imports whatever could define one

    elsewhere = [child for child in walk(RemoraError) if child.__module__ != errors.__name__]
    assert elsewhere == []


def walk(kind: type[RemoraError]) -> list[type[RemoraError]]:
    return [child for direct in kind.__subclasses__() for child in (direct, *walk(direct))]
