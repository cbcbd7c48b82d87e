"""A small subset of the Kusto language, as the Azure CLI and Remora's client write it. Knows no HTTP.

`Table | where … | project … | order by … | take N | count`, with and, or, not and parentheses in where.
Anything else is refused by name, never ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from containerapps_emulator.state import Json

Row = dict[str, Any]
Test = Callable[[Row], bool]


class KqlError(Exception):
    """`code` is SyntaxError or SemanticError, as the service names them."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    columns: dict[str, str]  # name → Kusto type
    rows: Sequence[Row]  # datetimes are ISO 8601 texts that end in Z


def run_query(text: str, tables: Callable[[str], Table | None], now: datetime) -> Table:
    """The result of a query. Raises KqlError."""
    try:
        return _run(_Tokens(text), tables, now)
    except RecursionError:
        raise KqlError("SyntaxError", "The query is nested too deeply.") from None
    except OverflowError:
        raise KqlError("SemanticError", "A time in the query is out of range.") from None


TOKEN: Final = re.compile(
    r"""\s*(?:
      (?P<string>@?"(?:[^"\\]|\\.)*"|@?'(?:[^'\\]|\\.)*')
    | (?P<span>\d+(?:\.\d+)?(?:ms|d|h|m|s)\b)
    | (?P<number>\d+(?:\.\d+)?)
    | (?P<name>!?[A-Za-z_]\w*)
    | (?P<sign>==|!=|=~|!~|>=|<=|[|(),=<>])
    )""",
    re.VERBOSE,
)
DATETIME: Final = re.compile(r"\s*\(\s*([^)'\"]+?)\s*\)")
SPAN_UNITS: Final = {
    "ms": "milliseconds",
    "s": "seconds",
    "m": "minutes",
    "h": "hours",
    "d": "days",
}
COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    "=~": lambda left, right: str(left).lower() == str(right).lower(),
    "!~": lambda left, right: str(left).lower() != str(right).lower(),
    "contains": lambda left, right: str(right).lower() in str(left).lower(),
    "contains_cs": lambda left, right: str(right) in str(left),
    "has": lambda left, right: _has(str(left), str(right)),
    "startswith": lambda left, right: str(left).lower().startswith(str(right).lower()),
    "endswith": lambda left, right: str(left).lower().endswith(str(right).lower()),
}
NEGATIONS: Final = frozenset(
    f"!{name}" for name in ("contains", "contains_cs", "has", "startswith", "endswith")
)


def _run(tokens: _Tokens, tables: Callable[[str], Table | None], now: datetime) -> Table:
    name = tokens.name()
    table = tables(name)
    if table is None:
        message = f"'{name}': Failed to resolve table or column expression named '{name}'"
        raise KqlError("SemanticError", message)
    while not tokens.at_end:
        tokens.expect("|")
        operator = tokens.name()
        if operator not in OPERATORS:
            raise KqlError("SyntaxError", f"The local cloud does not support the operator '{operator}'.")
        table = OPERATORS[operator](_Step(tokens, table, now))
    return table


class _Tokens:
    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0

    @property
    def at_end(self) -> bool:
        return not self._text[self._position :].strip(" \t\r\n;")

    def peek(self) -> str:
        match = TOKEN.match(self._text, self._position)
        return match.group().strip() if match else ""

    def take(self) -> tuple[str, str]:
        """(kind, text) of the next token."""
        match = TOKEN.match(self._text, self._position)
        if match is None:
            rest = self._text[self._position :].strip()[:20]
            raise KqlError("SyntaxError", f"A recognition error occurred near '{rest}'.")
        self._position = match.end()
        return str(match.lastgroup), match.group().strip()

    def skip(self, *words: str) -> bool:
        """If the next tokens are `words`, take them and return True."""
        position = self._position
        for word in words:
            if self.peek().lower() != word:
                self._position = position
                return False
            self.take()
        return True

    def expect(self, word: str) -> None:
        if not self.skip(word):
            raise KqlError("SyntaxError", f"'{word}' is expected before '{self.peek()}'.")

    def name(self) -> str:
        kind, text = self.take()
        if kind != "name":
            raise KqlError("SyntaxError", f"A name is expected, not '{text}'.")
        return text

    def bare_datetime(self) -> str | None:
        """The unquoted text in `datetime(2026-11-22)`."""
        match = DATETIME.match(self._text, self._position)
        if match is not None:
            self._position = match.end()
        return match.group(1) if match else None


class _Step:
    """One operator with its operands, over the table that comes before it."""

    def __init__(self, tokens: _Tokens, table: Table, now: datetime) -> None:
        self._tokens = tokens
        self._table = table
        self._now = now

    def where(self) -> Table:
        test = self._any()
        try:
            return self._with([row for row in self._table.rows if test(row)])
        except TypeError as error:
            raise KqlError("SemanticError", f"'where' compares values of different types: {error}") from None

    def project(self) -> Table:
        chosen: dict[str, str] = {}
        while not chosen or self._tokens.skip(","):
            name = self._tokens.name()
            source = self._tokens.name() if self._tokens.skip("=") else name
            chosen[name] = self._column("project", source)
        rows = [{name: row[source] for name, source in chosen.items()} for row in self._table.rows]
        columns = {name: self._table.columns[source] for name, source in chosen.items()}
        return Table(self._table.name, columns, rows)

    def order(self) -> Table:
        self._tokens.expect("by")
        return self._ordered()

    def take(self) -> Table:
        return self._with(self._table.rows[: self._count()])

    def top(self) -> Table:
        count = self._count()
        self._tokens.expect("by")
        return self._with(self._ordered().rows[:count])

    def count(self) -> Table:
        return Table(self._table.name, {"Count": "long"}, [{"Count": len(self._table.rows)}])

    def _ordered(self) -> Table:
        keys: list[tuple[str, bool]] = []
        while not keys or self._tokens.skip(","):
            name = self._column("order", self._tokens.name())
            ascending = self._tokens.skip("asc")
            if not ascending:
                self._tokens.skip("desc")
            keys.append((name, ascending))
        rows = list(self._table.rows)
        for name, ascending in reversed(keys):
            rows.sort(key=lambda row: row[name], reverse=not ascending)
        return self._with(rows)

    def _count(self) -> int:
        kind, text = self._tokens.take()
        if kind != "number" or not text.isdecimal():
            raise KqlError("SyntaxError", f"A number of rows is expected, not '{text}'.")
        return int(text)

    def _any(self) -> Test:
        tests = [self._all()]
        while self._tokens.skip("or"):
            tests.append(self._all())
        return lambda row: any(test(row) for test in tests)

    def _all(self) -> Test:
        tests = [self._one()]
        while self._tokens.skip("and"):
            tests.append(self._one())
        return lambda row: all(test(row) for test in tests)

    def _one(self) -> Test:
        negated = self._tokens.skip("not")
        if negated or self._tokens.peek() == "(":
            self._tokens.expect("(")
            test = self._any()
            self._tokens.expect(")")
            return (lambda row: not test(row)) if negated else test
        return self._comparison()

    def _comparison(self) -> Test:
        column = self._column("where", self._tokens.name())
        operator = self._tokens.take()[1].lower()
        if operator == "in":
            values = self._list()
            return lambda row: self._value(row, column) in values
        name = operator.removeprefix("!") if operator in NEGATIONS else operator
        compare = COMPARISONS.get(name)
        if compare is None:
            raise KqlError("SyntaxError", f"The local cloud does not support the comparison '{operator}'.")
        wanted = self._literal()
        return lambda row: compare(self._value(row, column), wanted) is (operator not in NEGATIONS)

    def _list(self) -> list[Any]:
        self._tokens.expect("(")
        values = [self._literal()]
        while self._tokens.skip(","):
            values.append(self._literal())
        self._tokens.expect(")")
        return values

    def _literal(self) -> Any:
        kind, text = self._tokens.take()
        if kind == "string":
            return _unquoted(text)
        if kind == "number":
            return float(text)
        if kind == "span":
            return parse_span(text)
        return self._call(text)

    def _call(self, function: str) -> Any:
        if function == "datetime":
            text = self._tokens.bare_datetime() or str(self._list()[0])
            return parse_time(text)
        values = self._list() if not self._tokens.skip("(", ")") else []
        if function == "now" and not values:
            return self._now
        if function == "ago" and len(values) == 1 and isinstance(values[0], timedelta):
            return self._now - values[0]
        raise KqlError("SyntaxError", f"The local cloud does not support the function '{function}'.")

    def _value(self, row: Row, column: str) -> Any:
        value = row[column]
        return parse_time(value) if self._table.columns[column] == "datetime" else value

    def _column(self, operator: str, name: str) -> str:
        if name not in self._table.columns:
            raise KqlError(
                "SemanticError",
                f"'{operator}' operator: Failed to resolve column or scalar expression named '{name}'",
            )
        return name

    def _with(self, rows: Sequence[Row]) -> Table:
        return Table(self._table.name, self._table.columns, rows)


OPERATORS: Final[dict[str, Callable[[_Step], Table]]] = {
    "where": _Step.where,
    "filter": _Step.where,
    "project": _Step.project,
    "order": _Step.order,
    "sort": _Step.order,
    "take": _Step.take,
    "limit": _Step.take,
    "top": _Step.top,
    "count": _Step.count,
}


def parse_time(text: str) -> datetime:
    """A date or time in UTC. Raises KqlError."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise KqlError("SyntaxError", f"'{text}' is not a date.") from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


def parse_span(text: str) -> timedelta:
    """`1h`, `30m`, `1.5d`."""
    unit = "ms" if text.endswith("ms") else text[-1]
    return timedelta(**{SPAN_UNITS[unit]: float(text.removesuffix(unit))})


def as_json(table: Table) -> Json:
    """The table as the query service returns it."""
    return {
        "name": "PrimaryResult",
        "columns": [{"name": name, "type": kind} for name, kind in table.columns.items()],
        "rows": [[row[name] for name in table.columns] for row in table.rows],
    }


def _unquoted(text: str) -> str:
    if text.startswith("@"):
        return text[2:-1]
    return re.sub(r"\\(.)", lambda match: {"n": "\n", "t": "\t"}.get(match[1], match[1]), text[1:-1])


def _has(text: str, term: str) -> bool:
    return re.search(rf"(?<![a-z0-9]){re.escape(term.lower())}(?![a-z0-9])", text.lower()) is not None
