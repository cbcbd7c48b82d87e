"""What `remora why` gathers about a revision that is being stopped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.azure.local_cloud import PRINTER, START_SECONDS, LocalCloud, Silent, printer_app, until

from remora.azure.app.readiness import wait_until_ready
from remora.rollout.why.facts import Fact, Source
from remora.rollout.why.gathering import Place, gather

GROUP = "why"


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[LocalCloud]:
    cloud = LocalCloud(tmp_path / "home")
    cloud.start()
    yield cloud
    cloud.stop()


def test_a_revision_that_is_being_stopped_is_not_one_that_hangs(cloud: LocalCloud, tmp_path: Path) -> None:
    clients, may_end = cloud.clients(GROUP), tmp_path / "may-end"
    app = printer_app(clients, GROUP, "web")
    serving = app.read().latest_revision
    ends_late = f"trap 'until [ -e {may_end} ]; do sleep 0.05; done; kill $!' TERM; python3 {PRINTER} & wait"
    containers = [{"name": "main", "image": "printer", "command": ["bash", "-c", ends_late]}]
    clients.apps.container_apps.begin_update(
        GROUP,
        "web",
        {
            "properties": {
                "configuration": {
                    "activeRevisionsMode": "Multiple",
                    "ingress": {"traffic": [{"revisionName": serving, "weight": 100}]},
                },
                "template": {"containers": containers},
            }
        },
    ).result()
    candidate = app.read().latest_revision
    wait_until_ready(app, candidate, timeout_seconds=START_SECONDS, say=Silent())
    place = Place(clients, GROUP, app)
    assert hanging(gather(place, revision=candidate).rows)  # it runs and has no traffic
    app.deactivate(candidate)
    until(lambda: app.revision(candidate).ending)
    facts = gather(place, revision=candidate).rows
    assert any("Deprovisioning" in fact.what for fact in facts if fact.source is Source.REVISION)
    assert not hanging(facts)
    may_end.touch()
    until(lambda: not app.revision(candidate).active)


def hanging(facts: tuple[Fact, ...]) -> bool:
    return any("nothing is newer than" in fact.what for fact in facts)
