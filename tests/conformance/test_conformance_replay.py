"""The recorded conversations go the same way with the local cloud, and the page that says so is current."""

from __future__ import annotations

import pytest
from tests.conformance.reasons import REASONS, reason_for, unexplained
from tests.conformance.recordings import ABSENT, RECORDINGS
from tests.conformance.replay import Outcome, Verdict
from tests.conformance.report import PAGE, page_of, replay_all, rows_in, rows_of

pytestmark = [
    pytest.mark.skipif(not RECORDINGS.is_dir(), reason=ABSENT),
    pytest.mark.timeout(1200),
]


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    return replay_all()


def test_every_difference_has_its_reason(outcomes: list[Outcome]) -> None:
    found = [
        f"{item.scenario} {item.position} {item.operation}\n    {text}"
        for item in outcomes
        if item.verdict is Verdict.DIFFERENT
        for text in unexplained(item)
    ]
    assert not found, "\n".join(found)


def test_98_of_100_answers_are_equal_or_followed(outcomes: list[Outcome]) -> None:
    asked = [item for item in outcomes if item.verdict is not Verdict.OUT_OF_SCOPE]
    agreed = [item for item in asked if item.verdict in (Verdict.EQUAL, Verdict.FOLLOWED)]
    assert len(agreed) >= 0.98 * len(asked)


def test_every_reason_is_still_needed(outcomes: list[Outcome]) -> None:
    used = {reason_for(item, text) for item in outcomes for text in item.notes}
    assert {reason.text for reason in REASONS} <= used


def test_no_operation_is_less_equal_than_the_page_says(outcomes: list[Outcome]) -> None:
    now, written = rows_of(outcomes), rows_in(PAGE.read_text())
    assert written.keys() <= now.keys()
    worse = {name: (now[name], row) for name, row in written.items() if now[name].equal < row.equal}
    assert not worse


def test_the_page_is_current(outcomes: list[Outcome]) -> None:
    """Run `python -m tests.conformance.report` where this fails."""
    assert PAGE.read_text() == page_of(outcomes)
