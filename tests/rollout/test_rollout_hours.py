"""Hours in which replicas stay awake, from `remora.toml` to the rules that the cloud follows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.rollout.scripted_project import ScriptedProject, make_scripted_project

from remora.project.warm_hours import DAYS


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedProject]:
    project = make_scripted_project(tmp_path_factory.mktemp("hours"))
    yield project
    project.user.run("cloud", "stop")


def rule_names(project: ScriptedProject) -> list[str]:
    return [rule["name"] for rule in project.app().read().template["scale"].get("rules") or ()]


def plan_of(project: ScriptedProject) -> dict[str, Any]:
    ran = project.user.run("plan", str(project.root))
    assert ran.code == 0, ran
    return ran.document


def test_a_time_to_live_lets_the_app_sleep_by_a_rule_of_the_cloud(project: ScriptedProject) -> None:
    ran = project.user.run("deploy", str(project.root), "--ttl", "8h")
    assert ran.code == 0, ran
    revision = project.serving()
    assert (ran.document["revision"], ran.document["new_revision"]) == (revision.name, True)
    end = datetime.fromisoformat(revision.created) + timedelta(hours=8)
    assert ran.document["awake"] == f"until {end:%Y-%m-%d %H:%M} UTC; then the next request wakes it"
    assert (revision.scale.min_replicas, revision.scale.warm_replicas) == (0, 1)
    assert rule_names(project) == ["http", "remora-ttl-480m"]
    assert project.user.run("status", str(project.root)).document["awake"] == ran.document["awake"]
    again = project.user.run("deploy", str(project.root), "--ttl", "8h").document
    assert again["new_revision"] is False  # eight hours from the first deploy: it is awake already
    assert "scale changed: 0 to 1 replicas, awake for 8h → 1 to 1 replicas" in plan_of(project)["reasons"]


def test_warm_hours_replace_it_and_go_with_the_line_in_the_file(project: ScriptedProject) -> None:
    settings = project.root / "remora.toml"
    before = settings.read_text()
    today, tomorrow = (DAYS[(datetime.now(UTC).weekday() + days) % 7] for days in (0, 1))
    scale = f'[scale]\nwarm = ["{today},{tomorrow} 00:00-23:59 UTC"]'
    settings.write_text(before.replace("[scale]", scale).replace("min_replicas = 1", "min_replicas = 0"))
    deployed = project.deploy()
    assert deployed["awake"].endswith("00:00-23:59 UTC; at other times the next request wakes it")
    assert rule_names(project) == ["http", "remora-warm-1"]
    assert project.deploy()["new_revision"] is False
    price = project.user.run("cost", str(project.root)).document["price"]
    settings.write_text(before)
    assert project.deploy()["awake"] is None
    assert rule_names(project) == ["http"]
    always = project.user.run("cost", str(project.root)).document["price"]
    price, always = (one["elsewhere"] if one["month"] is None else one for one in (price, always))
    assert price["hour_asleep"] == 0 < always["hour_asleep"]
    assert price["month"] < always["month"]


@pytest.mark.parametrize("command", ["deploy", "up"])
def test_a_ttl_that_does_not_fit_the_settings_changes_nothing(project: ScriptedProject, command: str) -> None:
    before = project.serving().name
    ran = project.user.run(command, str(project.root), "--ttl", "soon")
    assert ran.code == 2
    assert "--ttl 'soon'" in ran.message
    assert "provisioning" not in ran.stderr
    assert project.serving().name == before
