"""The error tree is drawn at the top of `errors.py`; the drawing and the classes are the same.

And the rule of its texts: no markup, no Python notation, never empty, no more than three items of a list.
"""

from __future__ import annotations

import ast
import errno
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import pytest

from containerapps_emulator import errors as emulator_errors
from containerapps_emulator.errors import EmulatorError
from remora import errors
from remora.errors import NotReady, RemoraError, listed

SOURCES = (Path(errors.__file__).parent, Path(emulator_errors.__file__).parent)

Kind = TypeVar("Kind", bound=Exception)

LINE = re.compile(r"(\w+) +(?:exit (\d+) +)?HTTP (\d{3}) +(\w+)$")


BOTH = pytest.mark.parametrize("module", [errors, emulator_errors], ids=["remora", "emulator"])


@BOTH
def test_the_drawing_is_the_tree(module: ModuleType) -> None:
    drawn = {}
    for line in (module.__doc__ or "").splitlines():
        if match := LINE.search(line):
            name, exit_code, status, code = match.groups()
            kind = getattr(module, name)
            drawn[kind] = name
            assert (kind.code, kind.http_status) == (code, int(status))
            assert exit_code is None or kind.exit_code == int(exit_code)
    root = ROOTS[module.__name__]
    assert set(drawn) == {root, *walk(root)}


ROOTS: dict[str, type[RemoraError] | type[EmulatorError]] = {
    errors.__name__: RemoraError,
    emulator_errors.__name__: EmulatorError,
}


def test_the_emulators_errors_are_errors_of_remora_too() -> None:
    """Remora shows what the emulator reports as its own: same code, exit code and status."""
    remoras: list[type[RemoraError]] = [RemoraError, *walk(RemoraError)]
    emulators: list[type[EmulatorError]] = [EmulatorError, *walk(EmulatorError)]
    known = {(each.code, each.exit_code, each.http_status) for each in remoras}
    assert {(each.code, each.exit_code, each.http_status) for each in emulators} <= known


def test_no_error_is_defined_anywhere_else() -> None:
    import containerapps_emulator.app  # noqa: F401 - the same of the emulator
    import remora.server.app  # noqa: F401 - imports whatever could define one

    assert [child for child in walk(RemoraError) if child.__module__ != errors.__name__] == []
    assert [child for child in walk(EmulatorError) if child.__module__ != emulator_errors.__name__] == []


def walk(kind: type[Kind]) -> list[type[Kind]]:
    return [child for direct in kind.__subclasses__() for child in (direct, *walk(direct))]


@pytest.mark.parametrize(
    ("message", "plain"),
    [
        (
            'reading x: <?xml version="1.0"?><Error><Code>C</Code><Message>No\nsuch x</Message></Error>',
            "reading x: No such x",
        ),
        (
            "closed: RemoteDisconnected('gone', ConnectionError('no route'))",
            "closed: RemoteDisconnected('gone', no route)",
        ),
        ("<urllib3.Connection object at 0x7f00ab>: refused", "urllib3.Connection: refused"),
        ("HTTPError(500, ...) came", "HTTPError (500, ...) came"),
        ("it failed: ", "it failed"),
        ("", "not_ready"),
    ],
)
def test_what_other_software_says_is_made_plain(message: str, plain: str) -> None:
    error = NotReady(message)
    assert error.message == str(error) == plain


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (KeyError("digest"), "'digest' is missing"),
        (ValueError(), "ValueError"),
        (FileNotFoundError(errno.ENOENT, "No such file", "/x"), "No such file: /x"),
    ],
)
@BOTH
def test_an_error_of_another_library_always_says_something(
    module: ModuleType, error: Exception, text: str
) -> None:
    assert module.said(error) == text


def test_a_long_list_is_cut_and_says_so() -> None:
    assert listed(["a", "b", "c"]) == "a, b, c"
    assert listed(range(46)) == "0, 1, 2 and 43 more"
    assert listed([]) == ""


@BOTH
def test_a_disk_that_takes_nothing_has_codes_of_its_own(module: ModuleType, tmp_path: Path) -> None:
    DiskFull, CannotWrite = module.DiskFull, module.CannotWrite  # noqa: N806
    disk_error, writing = module.disk_error, module.writing
    for number, kind in ((errno.ENOSPC, DiskFull), (errno.EDQUOT, DiskFull), (errno.EROFS, CannotWrite)):
        found = disk_error(OSError(number, "x", "/data/x"))
        assert type(found) is kind
        assert "/data/x" in found.message
    assert disk_error(PermissionError(errno.EACCES, "Permission denied", "/x")) is None
    with pytest.raises(CannotWrite, match="/x cannot be written: Permission denied"), writing():
        raise PermissionError(errno.EACCES, "Permission denied", "/x")
    with pytest.raises(DiskFull), writing(), Path("/dev/full").open("w") as full:
        full.write("x")
    with pytest.raises(FileNotFoundError), writing():
        (tmp_path / "missing").read_text()


@BOTH
def test_a_full_database_is_a_full_disk(module: ModuleType, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "x.sqlite3") as database:
        database.execute("CREATE TABLE t (x)")
        database.execute("PRAGMA max_page_count = 3")
        with pytest.raises(sqlite3.OperationalError) as caught:
            database.execute("INSERT INTO t VALUES (zeroblob(100000))")
    database.close()
    assert isinstance(module.disk_error(caught.value, "state.sqlite3"), module.DiskFull)


KINDS = {kind.__name__ for root in ROOTS.values() for kind in (root, *walk(root))}


JOINED = (", ", "; ", " and ", " or ")
AZURES_OWN = (
    "containerapps_emulator/",
    "azure/bicep/translation/terms.py",
)  # their texts are those of Azure, and of its language


def texts_of_errors() -> Iterator[tuple[str, ast.Module, ast.expr]]:
    """Where, in which module, and what: every text that the source gives to an error."""
    for path in (path for source in SOURCES for path in sorted(source.rglob("*.py"))):
        module = ast.parse(path.read_text(encoding="utf-8"))
        name = path.relative_to(
            SOURCES[0] if path.is_relative_to(SOURCES[0]) else SOURCES[1].parent
        ).as_posix()
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS:
                texts = [*node.args[:1], *(each.value for each in node.keywords if each.arg == "hint")]
                for text in texts:
                    yield f"{name}:{node.lineno}", module, text


def parts_of(text: ast.expr, module: ast.Module) -> Iterator[ast.AST]:
    """The text, and what the same module says of the variables and functions that it is put together from."""
    yield from ast.walk(text)
    used = {each.id for each in ast.walk(text) if isinstance(each, ast.Name)}
    used |= {each.attr for each in ast.walk(text) if isinstance(each, ast.Attribute)}
    scopes = [
        each
        for each in ast.walk(module)
        if isinstance(each, ast.FunctionDef) and any(inner is text for inner in ast.walk(each))
    ]
    for each in ast.walk(module):
        if isinstance(each, ast.FunctionDef) and each.name in used and each.name.startswith("_"):
            yield from ast.walk(each)
    for each in (inner for scope in scopes for inner in ast.walk(scope)):
        if isinstance(each, ast.Assign) and any(getattr(to, "id", "") in used for to in each.targets):
            yield from ast.walk(each.value)


def test_no_text_of_an_error_is_empty_or_shows_python() -> None:
    wrong = []
    for where, _, text in texts_of_errors():
        written = "".join(str(each.value) for each in ast.walk(text) if isinstance(each, ast.Constant))
        shows_python = any(
            isinstance(each, ast.FormattedValue)
            and each.conversion == ord("r")
            and isinstance(each.value, ast.Name)
            and each.value.id in ("error", "exc", "exception")
            for each in ast.walk(text)
        )
        is_empty = isinstance(text, ast.Constant) and not written.strip()
        if shows_python or is_empty or re.search(r"<\?xml|Error\(|0x", written):
            wrong.append(where)
    assert wrong == []


def test_every_list_in_a_text_of_an_error_is_cut() -> None:
    wrong = {
        where
        for where, module, text in texts_of_errors()
        for each in parts_of(text, module)
        if not where.startswith(AZURES_OWN)
        and isinstance(each, ast.Call)
        and isinstance(each.func, ast.Attribute)
        and each.func.attr == "join"
        and isinstance(each.func.value, ast.Constant)
        and each.func.value.value in JOINED
    }
    assert not wrong, f"use errors.listed in: {' '.join(sorted(wrong))}"
