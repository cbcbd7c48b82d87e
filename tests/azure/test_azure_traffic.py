"""Who gets the traffic, by the app's document, and how it is pinned and moved."""

from __future__ import annotations

from typing import Any

import pytest

from remora.azure.app.traffic import Traffic, TrafficShare, traffic_of

LATEST = {"latestRevision": True, "weight": 100}


def document(mode: str, *traffic: dict[str, Any]) -> dict[str, Any]:
    return {"activeRevisionsMode": mode, "ingress": {"traffic": list(traffic)}}


@pytest.mark.parametrize(
    ("configuration", "serving", "pinned"),
    [
        (document("Single"), "new", False),
        (
            document("Single", {"revisionName": "old", "weight": 100}),
            "new",
            False,
        ),  # weights mean nothing there
        (document("multiple", LATEST), "new", False),
        (document("Multiple", {"revisionName": "old", "weight": 100}), "old", True),
        (
            document("Multiple", {"revisionName": "old", "weight": 30}, {"revisionName": "b", "weight": 70}),
            "b",
            True,
        ),
        (document("Multiple", {"revisionName": "old", "weight": 60}, {**LATEST, "weight": 40}), "old", False),
        ({"activeRevisionsMode": "Multiple", "ingress": None}, "new", True),
    ],
)
def test_the_revision_with_most_of_the_traffic_serves(
    configuration: dict[str, Any], serving: str, pinned: bool
) -> None:
    traffic = traffic_of(configuration)
    assert traffic.serving("new") == serving
    assert traffic.is_pinned is pinned


def test_pinning_names_what_is_served_and_moves_nothing() -> None:
    traffic = traffic_of(
        document("Multiple", {**LATEST, "weight": 40, "label": "blue"}, {"revisionName": "old", "weight": 60})
    )
    pinned = traffic.pinned("new")
    assert pinned.is_pinned
    assert pinned.serving("newer") == "old"
    assert [share.to_json() for share in pinned.shares] == [
        {"revisionName": "new", "weight": 40, "label": "blue"},
        {"revisionName": "old", "weight": 60},
    ]
    single = traffic_of(document("Single", LATEST)).pinned("new")
    assert single == Traffic(True, (TrafficShare("new", 100),))


def test_moving_everything_keeps_the_labels() -> None:
    shares = (TrafficShare("old", 100, "stable"), TrafficShare("b", 0, "test"), TrafficShare("c", 0))
    moved = Traffic(True, shares).all_to("b")
    assert [share.to_json() for share in moved.shares] == [
        {"revisionName": "b", "weight": 100, "label": "test"},
        {"revisionName": "old", "weight": 0, "label": "stable"},
    ]
