"""Hours and spans of `[scale]`: what is read, how it is written back, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from remora.errors import InvalidFile, InvalidInput
from remora.project.settings import load_settings
from remora.project.warm_hours import WarmHours, parse_span, span_text


@pytest.mark.parametrize(
    ("text", "written", "hours_per_week"),
    [
        ("Mon-Fri 08:00-18:00 Europe/Oslo", "Mon-Fri 08:00-18:00 Europe/Oslo", 50),
        ("mon,WED 9:30-10:00", "Mon,Wed 09:30-10:00 UTC", 1),
        ("daily 22:00-06:00 UTC", "daily 22:00-06:00 UTC", 56),
        ("Sat-Mon  00:00-12:00", "Mon,Sat,Sun 00:00-12:00 UTC", 36),
        ("Sun 12:00-00:00", "Sun 12:00-00:00 UTC", 12),
    ],
)
def test_hours_are_read_and_written_the_same(text: str, written: str, hours_per_week: float) -> None:
    hours = WarmHours.parse(text)
    assert str(hours) == written
    assert WarmHours.parse(written) == hours
    assert hours.minutes_per_week == hours_per_week * 60


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("always", "expected days, hours and a time zone"),
        ("Mon 08:00", "expected days, hours and a time zone"),
        ("Mon 08:00-24:00", "there is no time 24:00"),
        ("Mon 08:00-08:00", "it ends when it starts"),
        ("Moon 08:00-09:00", "'Moon' is no day"),
        ("Mon- 08:00-09:00 Mars/Base", "there is no time zone 'Mars/Base'"),
        ("Mon 08:00-09:00 ../../etc/passwd", "there is no time zone"),
    ],
)
def test_what_is_no_time_is_refused_with_the_reason(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        WarmHours.parse(text)


@pytest.mark.parametrize(("text", "minutes"), [("8h", 480), ("90m", 90), ("2d", 2880), ("24h", 1440)])
def test_a_span_is_minutes(text: str, minutes: int) -> None:
    assert parse_span(text) == minutes
    assert parse_span(span_text(minutes)) == minutes


@pytest.mark.parametrize("text", ["", "8", "8 h", "-8h", "1.5h", "5m", "181d", "0h", "8H"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a span"):
        parse_span(text)


@pytest.mark.parametrize(
    ("section", "line", "message"),
    [
        (
            'min_replicas = 0\nwarm = ["Mon 8:00-7:60"]',
            3,
            "scale.warm has 'Mon 8:00-7:60': there is no time 7:60",
        ),
        ('warm = ["Mon 08:00-09:00"]', 2, "scale.warm changes nothing while scale.min_replicas is 1"),
        ('ttl = "soon"', 2, "scale.ttl is 'soon': expected a span of time"),
        ('min_replicas = 0\nttl = "8h"', 3, "sleeps after five minutes without a request already"),
        ('min_replicas = 0\nttl = "8h"\nwarm = ["Mon 08:00-09:00"]', 3, "scale.ttl lets the app sleep"),
    ],
)
def test_a_scale_that_does_not_fit_together_is_refused_at_its_line(
    section: str, line: int, message: str, tmp_path: Path
) -> None:
    (tmp_path / "remora.toml").write_text(f"[scale]\n{section}\n")
    with pytest.raises(InvalidFile) as refused:
        load_settings(tmp_path, {})
    assert message in refused.value.message
    assert f"remora.toml:{line}" in refused.value.message.replace(", line ", ":")


def test_the_environment_gives_hours_too(tmp_path: Path) -> None:
    given = {"REMORA_SCALE_MIN_REPLICAS": "0", "REMORA_SCALE_WARM": "Mon 08:00-09:00, Tue 08:00-10:00 UTC"}
    scale = load_settings(tmp_path, given).scale
    assert [str(hours) for hours in scale.warm] == ["Mon 08:00-09:00 UTC", "Tue 08:00-10:00 UTC"]


def test_a_ttl_of_the_command_must_fit_the_settings(tmp_path: Path) -> None:
    scale = load_settings(tmp_path, {}).scale
    assert scale.with_ttl("2h").ttl_minutes == 120
    with pytest.raises(InvalidInput, match="'later'"):
        scale.with_ttl("later")
    asleep = load_settings(tmp_path, {"REMORA_SCALE_MIN_REPLICAS": "0"}).scale
    with pytest.raises(InvalidInput, match="--ttl 2h: with scale"):
        asleep.with_ttl("2h")
