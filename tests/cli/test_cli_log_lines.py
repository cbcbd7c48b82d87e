"""A log in a terminal: time, replica, level and message, whatever the container prints."""

from __future__ import annotations

import io
import json

import pytest

from remora.azure.app.log_stream import LogLine
from remora.cli.output.log_lines import Wanted, painter, wanted_lines
from remora.cli.output.terminal import Terminal

TIME = "2026-11-29T10:00:01.1234567+00:00"


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (
            json.dumps(
                {
                    "time": TIME,
                    "level": "info",
                    "logger": "x",
                    "message": "request",
                    "status": 200,
                    "key": None,
                }
            ),
            "10:00:01 aaaaa info    request status=200",
        ),
        ("INFO:     Uvicorn running", "10:00:01 aaaaa info    Uvicorn running"),
        ("Warning ContainerBackOff Back-off 10 s", "10:00:01 aaaaa warning ContainerBackOff Back-off 10 s"),
        ("plain [text] \x1b[31m", "10:00:01 aaaaa         plain [text] \\x1b[31m"),
        ('{"no": "message"}', '10:00:01 aaaaa         {"no": "message"}'),
    ],
)
def test_a_line_is_time_replica_level_and_message(raw: str, shown: str) -> None:
    terminal = Terminal(file=io.StringIO(), color_system=None, width=40)
    with terminal.capture() as printed:
        terminal.print(painter()(LogLine(TIME, "app--1-aaaaa", raw)))
    assert printed.get().rstrip("\n") == shown


def test_a_long_line_goes_on_below_its_message_and_shortens_digests() -> None:
    raw = json.dumps(
        {"level": "info", "message": "request", "digest": "0123456789ab" + 52 * "c", "status": 200}
    )
    terminal = Terminal(file=io.StringIO(), color_system=None, width=50, force_terminal=True)
    with terminal.capture() as printed:
        terminal.print(painter()(LogLine(TIME, "app--1-aaaaa", raw)))
    assert printed.get().splitlines() == [
        "10:00:01 aaaaa info    request",
        "                       digest=0123456789ab…",
        "                       status=200",
    ]


def test_each_replica_keeps_its_colour() -> None:
    paint = painter()
    colours = [str(paint(LogLine(TIME, name, "x")).title.spans[1].style) for name in ("a", "b", "a")]
    assert colours[0] == colours[2] != colours[1]


def test_an_error_is_red_and_shows_its_traceback() -> None:
    raw = json.dumps({"level": "error", "message": "failed", "traceback": "Traceback\n  line"})
    text = painter()(LogLine(TIME, "app--1-aaaaa", raw))
    assert text.title.plain.endswith("error   ")
    assert text.text == "failed\nTraceback\n  line"
    assert text.style == "red"


def test_filters_add_up() -> None:
    early, late = (
        LogLine("2026-11-29T10:00:00Z", "a", "one r-1"),
        LogLine("2026-11-29T11:00:00Z", "a", "TWO r-1"),
    )
    assert list(Wanted().of([early, late])) == [early, late]
    assert list(wanted_lines("2026-11-29T10:30:00+00:00", None, None).of([early, late])) == [late]
    assert list(wanted_lines(None, "two", "r-1").of([early, late])) == [late]
    assert list(wanted_lines(None, "one", "r-2").of([early, late])) == []
    assert list(wanted_lines("1s", None, None).of([early])) == []
