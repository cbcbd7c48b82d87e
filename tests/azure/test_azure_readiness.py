"""When a revision is ready and when waiting is of no use, against an ARM that says what Azure says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.azure.arm_stand_in import Answer, ArmStandIn, Asked

from remora.azure.app.apps import ContainerApp
from remora.azure.app.readiness import wait_until_ready
from remora.errors import NotReady

APP = "resourcegroups/g/providers/microsoft.app/containerapps/app"
REVISION = "app--2"
Json = dict[str, Any]


@dataclass
class Told:
    states: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def now(self, text: str) -> None:
        self.states.append(text)

    def reason(self, text: str) -> None:
        self.reasons.append(text)


@dataclass(frozen=True, slots=True)
class Moment:
    """What the cloud says at one look: the revision's state, and its replicas as (ready, restarts)."""

    state: str
    health: str = "None"
    replicas: Sequence[tuple[bool, int]] = ()
    active: bool = True
    others: int = 0


def wait(moments: Sequence[Moment], events: Sequence[Json] = (), seconds: float = 60) -> Told:
    """Wait for a revision that is, look by look, as these moments say; the last one lasts."""
    arm = ArmStandIn()
    looks = iter(moments)
    now = [moments[0]]

    def revision(_: Asked) -> Answer:
        now[0] = next(looks, now[0])
        return Answer(document=_revision(REVISION, now[0], len(now[0].replicas)))

    def replicas(_: Asked) -> Answer:
        return Answer(document={"value": [_replica(n, *one) for n, one in enumerate(now[0].replicas)]})

    def revisions(_: Asked) -> Answer:
        other = _revision("app--1", Moment("Running", "Healthy"), now[0].others)
        return Answer(document={"value": [other, _revision(REVISION, now[0], 0)]})

    def log(_: Asked) -> Answer:
        return Answer(chunks=[json.dumps(event).encode() + b"\n" for event in events])

    arm.answers = {
        ("GET", APP): lambda _: Answer(document=_app(arm.url)),
        ("GET", f"{APP}/revisions"): revisions,
        ("GET", f"{APP}/revisions/{REVISION}"): revision,
        ("GET", f"{APP}/revisions/{REVISION}/replicas"): replicas,
        ("POST", f"{APP}/getauthtoken"): Answer(document={"properties": {"token": "t"}}),
        ("GET", "events"): log,
    }
    told = Told()
    with arm:
        wait_until_ready(ContainerApp(arm.clients(), "g", "app"), REVISION, timeout_seconds=seconds, say=told)
    return told


def _app(url: str) -> Json:
    template = {"containers": [{"name": "main"}], "scale": {}}
    properties = {
        "latestRevisionName": REVISION,
        "latestReadyRevisionName": REVISION,
        "template": template,
        "eventStreamEndpoint": f"{url}/events",
    }
    return {"id": "x", "name": "app", "location": "westeurope", "properties": properties}


def _revision(name: str, moment: Moment, replicas: int) -> Json:
    properties = {
        "active": moment.active,
        "runningState": moment.state,
        "healthState": moment.health,
        "replicas": replicas,
        "createdTime": f"2026-01-01T00:00:0{name[-1]}Z",
        "template": {"containers": [{"name": "main"}], "scale": {"minReplicas": 3, "maxReplicas": 3}},
    }
    return {"id": name, "name": name, "properties": properties}


def _replica(number: int, ready: bool, restarts: int) -> Json:
    container = {"name": "main", "ready": ready, "restartCount": restarts, "containerId": f"c{number}"}
    properties = {"runningState": "Running", "containers": [container]}
    return {"id": f"r{number}", "name": f"{REVISION}-r{number}", "properties": properties}


def test_degraded_is_how_several_replicas_come_up_one_after_another() -> None:
    told = wait(
        [
            Moment("Activating", replicas=[(False, 0)] * 3),
            Moment("Degraded", "Unhealthy", [(True, 0), (False, 0), (False, 0)]),
            Moment("Degraded", "Unhealthy", [(True, 0), (True, 1), (False, 0)]),
            Moment("Running", "Healthy", [(True, 0)] * 3),
        ]
    )
    assert f"revision {REVISION}: Degraded" in told.states


def test_as_many_replicas_as_there_must_be_are_enough_whatever_the_state_is_called() -> None:
    wait([Moment("Degraded", "Unhealthy", [(True, 0), (True, 0), (True, 0), (False, 0)])])


def test_a_replica_that_ends_again_and_again_ends_the_wait_beside_ready_ones() -> None:
    looks = [Moment("Degraded", "Unhealthy", [(True, 0), (True, 0), (False, ends)]) for ends in range(4)]
    with pytest.raises(NotReady, match="r2 has ended 3 times"):
        wait(looks)


def test_restarts_of_long_ago_are_no_crash_loop() -> None:
    looks = [Moment("Degraded", "Unhealthy", [(True, 9), (True, 0), (False, 9)])] * 3
    wait([*looks, Moment("Running", "Healthy", [(True, 9)] * 3)])


def test_a_revision_that_somebody_switches_off_is_waited_for_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("remora.azure.app.readiness._INACTIVE_SECONDS", 0.0)
    with pytest.raises(NotReady, match="was deactivated"):
        wait([Moment("Stopped", active=False)])


def test_no_room_beside_ones_own_revision_ends_the_wait_and_the_log_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("remora.azure.app.readiness._NO_ROOM_SECONDS", 0.0)
    event = {
        "Type": "Warning",
        "Reason": "AssigningReplicaFailed",
        "RevisionName": REVISION,
        "Msg": "all 1 nodes of workload profile 'GPU' are in use",
    }
    with pytest.raises(NotReady, match="all 1 nodes of workload profile 'GPU' are in use") as caught:
        wait([Moment("Activating", others=1)], [event])
    assert "--strategy in-place" in caught.value.message


def test_no_room_that_others_may_give_back_is_waited_for() -> None:
    event = {"Type": "Warning", "Reason": "AssigningReplicaFailed", "RevisionName": REVISION, "Msg": "full"}
    looks = [Moment("Activating", others=0)] * 3
    told = wait([*looks, Moment("Running", "Healthy", [(True, 0)] * 3)], [event])
    assert told.reasons == ["Warning AssigningReplicaFailed full"]


def test_that_a_replica_says_it_is_not_ready_yet_is_no_reason() -> None:
    message = "Readiness probe failed: HTTP probe failed with statuscode: 503"
    event = {"Type": "Warning", "Reason": "ReplicaUnhealthy", "RevisionName": REVISION, "Msg": message}
    healthy = Moment("Running", "Healthy", [(True, 0)] * 3)
    assert wait([Moment("Activating"), healthy], [event]).reasons == []
    other = {**event, "Msg": "Readiness probe failed: HTTP probe failed with statuscode: 500"}
    assert len(wait([Moment("Activating"), healthy], [other]).reasons) == 1


def test_a_replica_that_found_its_place_does_not_wait_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remora.azure.app.readiness._NO_ROOM_SECONDS", 0.0)
    event = {"Type": "Normal", "Reason": "AssigningReplica", "RevisionName": REVISION, "Msg": "scheduled"}
    looks = [Moment("Activating", replicas=[(False, 0)] * 3, others=1)] * 3
    wait([*looks, Moment("Running", "Healthy", [(True, 0)] * 3)], [event])
