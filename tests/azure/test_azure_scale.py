"""The scale of a template: our hours as rules of KEDA and back, beside the rules of others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from remora.azure.app.scale import Scale, scale_document, scale_of, wanted_scale, why_not
from remora.project.scale_settings import ScaleSettings
from remora.project.warm_hours import WarmHours

NOW = datetime(2026, 11, 30, 23, 30, tzinfo=UTC)
OFFICE = WarmHours.parse("Mon-Fri 08:00-18:00 Europe/Oslo")
NIGHT = WarmHours.parse("Sat,Sun 22:00-06:00")
QUEUE = {"name": "queue", "custom": {"type": "azure-queue", "metadata": {"queueLength": "5"}}}
WEB = {"name": "web", "http": {"metadata": {"concurrentRequests": "4"}}}


def rules(scale: Scale, **current: Any) -> dict[str, Any]:
    return {rule["name"]: rule for rule in scale_document(current, scale, NOW)["rules"]}


def test_hours_become_cron_rules_with_the_days_of_their_ends() -> None:
    made = rules(wanted_scale(ScaleSettings(0, 3, warm=(OFFICE, NIGHT))))
    assert made["remora-warm-1"]["custom"] == {
        "type": "cron",
        "metadata": {
            "timezone": "Europe/Oslo",
            "start": "0 8 * * 1,2,3,4,5",
            "end": "0 18 * * 1,2,3,4,5",
            "desiredReplicas": "1",
        },
    }
    night = made["remora-warm-2"]["custom"]["metadata"]
    assert (night["start"], night["end"]) == ("0 22 * * 6,0", "0 6 * * 0,1")


def test_a_time_to_live_is_a_span_from_now_with_dates() -> None:
    wanted = wanted_scale(ScaleSettings(2, 3, ttl_minutes=90))
    assert (wanted.min_replicas, wanted.warm_replicas) == (0, 2)
    metadata = rules(wanted)["remora-ttl-90m"]["custom"]["metadata"]
    assert metadata == {
        "timezone": "UTC",
        "start": "30 23 30 11 *",
        "end": "0 1 1 12 *",
        "desiredReplicas": "2",
    }


def test_rules_of_others_stay_and_requests_keep_a_rule() -> None:
    """Azure scales by requests only where there is no rule at all, or one that says so."""
    warm = wanted_scale(ScaleSettings(0, 3, warm=(OFFICE,)))
    assert list(rules(warm)) == ["remora-warm-1", "remora-http"]
    assert list(rules(warm, rules=[WEB, QUEUE])) == ["web", "queue", "remora-warm-1"]
    had = scale_document({"rules": [QUEUE]}, warm, NOW)
    assert scale_document(had, Scale(1, 3), NOW)["rules"] == [QUEUE]
    assert "rules" not in scale_document({"cooldownPeriod": 60}, Scale(1, 3), NOW)
    assert scale_document(scale_document({}, warm, NOW), Scale(1, 3), NOW)["rules"] == []


hours = some.builds(
    WarmHours,
    some.sets(some.integers(0, 6), min_size=1).map(lambda days: tuple(sorted(days))),
    some.integers(0, 24 * 60 - 1),
    some.integers(0, 24 * 60 - 1),
    some.sampled_from(["UTC", "Europe/Oslo"]),
)


@given(some.lists(hours.filter(lambda one: one.start != one.end), max_size=4))
def test_what_is_written_is_read_back(found: list[WarmHours]) -> None:
    wanted = wanted_scale(ScaleSettings(0, 5, warm=tuple(found)))
    assert scale_of(scale_document({}, wanted, NOW)) == wanted


@pytest.mark.parametrize("metadata", [{"desiredReplicas": "many"}, {"start": "whenever"}, {"start": ""}])
def test_a_rule_of_ours_that_somebody_changed_counts_as_gone(metadata: dict[str, str]) -> None:
    wanted = wanted_scale(ScaleSettings(0, 5, warm=(OFFICE,)))
    document = scale_document({}, wanted, NOW)
    document["rules"][0]["custom"]["metadata"] |= metadata
    assert scale_of(document) != wanted
    assert scale_of(scale_document(document, wanted, NOW)) == wanted


def test_a_revision_does_until_its_scale_changes_or_its_time_ends() -> None:
    wanted = wanted_scale(ScaleSettings(1, 1, ttl_minutes=480))
    created = (NOW - timedelta(hours=7)).isoformat()
    assert why_not(wanted, created, wanted, NOW) == ""
    assert wanted.awake(created) == "until 2026-12-01 00:30 UTC; then the next request wakes it"
    late = NOW + timedelta(hours=2)
    assert why_not(wanted, created, wanted, late) == "its time to live ended: 2026-12-01 00:30 UTC"
    assert why_not(Scale(1, 1), created, wanted, NOW) == (
        "scale changed: 1 to 1 replicas → 0 to 1 replicas, awake for 8h"
    )


def test_the_hours_count_in_what_is_kept_awake() -> None:
    assert wanted_scale(ScaleSettings(0, 3, warm=(OFFICE,))).kept_replicas == pytest.approx(50 / 168)
    assert wanted_scale(ScaleSettings(2, 3, ttl_minutes=73 * 60)).kept_replicas == pytest.approx(0.2)
    assert wanted_scale(ScaleSettings(2, 3)).kept_replicas == 2
