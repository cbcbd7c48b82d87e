"""The page of a timeline: every text escaped, and bars only for the newest activity."""

from __future__ import annotations

from remora.cli.why.why_page import page_of
from remora.rollout.why.causes import judge
from remora.rollout.why.facts import Fact, Facts, Source
from remora.rollout.why.known_causes import KNOWN_CAUSES


def test_a_page_escapes_logs_and_draws_the_newest_activity() -> None:
    rows = (
        Fact("2026-11-20T10:00:00.000+00:00", Source.ARM, "of last week", 5.0),
        Fact("2026-11-29T10:00:00.000+00:00", Source.SYSTEM, "Normal PullingImage", 30.0),
        Fact(
            "2026-11-29T10:00:30.000+00:00",
            Source.SYSTEM,
            "Warning <script>alert(1)</script>",
            10.0,
            wrong=True,
        ),
        Fact("", Source.REVISION, "the present"),
    )
    facts = Facts(rows)
    page = page_of("a & b", facts, judge(facts, KNOWN_CAUSES), "run: remora up")
    assert "<script>" not in page
    assert "a &amp; b" in page
    assert page.count("margin-left") == 2
    assert "margin-left:0.00%;width:75.00%" in page
    assert "margin-left:75.00%;width:25.00%" in page
