"""The front in a cloud: made, asked, updated, kept when its follower fails, and taken away again.

One project and one local cloud for the whole file; the tests build on one another in order.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from tests.cli.command import Ran
from tests.project.settings_file import update_settings
from tests.rollout.echo_replica import HOLD
from tests.rollout.scripted_project import ScriptedProject, provision_scripted_project, release_of

from remora.azure.app.apps import ContainerApp
from remora.azure.app.state import Revision
from remora.project.toolkit.config import load_inference_config
from remora.rollout.front import UPSTREAM_VARIABLE
from remora.server.front.model import AWAKE_SECONDS

REPLICA = Path(__file__).with_name("echo_replica.py")
ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 400.0
USER: list[Any] = [{"role": "user", "content": "hello there"}]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedProject]:
    project = provision_scripted_project(
        tmp_path_factory.mktemp("front"),
        defaultCommands=[f"exec {sys.executable} {REPLICA} /mount"],
        environmentVariables=[
            {"name": "PYTHONPATH", "value": os.pathsep.join((str(ROOT / "src"), str(ROOT)))}
        ],
        cooldownSeconds=1,
    )
    (project.root / "golden.toml").unlink()
    update_settings(project.root, {"scale.min_replicas": 0, "scale.front_wait_seconds": 2})
    yield project
    project.user.run("cloud", "stop")


def run(project: ScriptedProject, command: str, *more: str) -> Ran:
    ran = project.user.run(command, str(project.root), *more)
    assert ran.code == 0, (ran.document, ran.stderr)
    return ran


def deploy(project: ScriptedProject) -> dict[str, Any]:
    return run(project, "deploy", "--allow-unproven").document


def front_of(project: ScriptedProject) -> ContainerApp:
    app, config = project.app(), load_inference_config(project.root)
    assert config.front
    return ContainerApp(app.clients, app.group, config.front)


def serving_front(project: ScriptedProject) -> Revision:
    front = front_of(project)
    return front.revision(front.read().serving_revision)


def start_again(project: ScriptedProject) -> None:
    """The model starts, and does not end its start: as after a sleep, which would take minutes to come."""
    (project.share.parent / HOLD).touch()
    app, name = project.app(), project.serving().name
    app.restart(name)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(replica.ready for replica in app.replicas(name)):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    time.sleep(AWAKE_SECONDS + 0.5)  # so long the front takes a model that has just answered for awake


def test_before_it_is_asked_for_there_is_none(project: ScriptedProject) -> None:
    assert deploy(project)["front"] is None
    assert load_inference_config(project.root).front is None
    planned = run(project, "plan").document
    assert (planned["price"]["front"], planned["sleeps"]) == (None, True)


def test_switched_on_it_has_the_endpoints_address(project: ScriptedProject) -> None:
    model_url = f"http://{project.app().read().fqdn}"
    update_settings(project.root, {"scale.front": True})
    price = run(project, "plan").document["price"]["front"]
    assert price["month"] or price["month_elsewhere"]
    refused = project.user.run("deploy", str(project.root))
    assert refused.code == 3
    assert refused.document["error"]["hint"].startswith("make it with: remora up")
    assert run(project, "provision", "--yes").document["front"]
    deployed = deploy(project)
    front = front_of(project)
    assert deployed["endpoint"] == f"http://{front.read().fqdn}/v1" != f"{model_url}/v1"
    assert deployed["front"] == front.read().serving_revision
    assert release_of(serving_front(project)) == release_of(project.serving())
    status = run(project, "status").document
    assert status["endpoint"] == deployed["endpoint"]
    assert status["front"]["answers"]
    assert [revision.name for revision in front.revisions() if revision.active] == [deployed["front"]]


def test_a_stream_begins_while_the_model_starts(project: ScriptedProject) -> None:
    start_again(project)
    url, key = f"http://{front_of(project).read().fqdn}", project.app().api_key()
    headers = {"authorization": f"Bearer {key}"}
    body = {"model": "tone", "messages": USER, "stream": True}
    unstreamed = httpx.post(
        f"{url}/v1/chat/completions",
        json={**body, "stream": False},
        headers=headers,
        timeout=PATIENCE_SECONDS,
    )
    assert (unstreamed.status_code, unstreamed.headers["retry-after"]) == (503, "5")
    told = []
    with httpx.stream(
        "POST", f"{url}/v1/chat/completions", json=body, headers=headers, timeout=PATIENCE_SECONDS
    ) as response:
        assert response.status_code == 200
        for line in response.iter_lines():
            told.append(line)
            if line == ": starting: loading weights 12 of 28":
                (project.share.parent / HOLD).unlink(missing_ok=True)
    assert ": starting: loading weights 12 of 28" in told
    assert told[-2] == "data: [DONE]"
    with openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:
        answer = client.chat.completions.create(model="tone", messages=USER)
        assert (answer.choices[0].message.content or "").endswith("hello there")


def test_what_does_not_change_the_front_leaves_it(project: ScriptedProject) -> None:
    before = serving_front(project).name
    assert deploy(project)["front"] == before
    project.change_adapter()
    assert deploy(project)["front"] == before


def test_other_settings_of_the_endpoint_bring_a_new_front(project: ScriptedProject) -> None:
    before = serving_front(project)
    project.change_settings(7)
    deployed = deploy(project)
    assert deployed["front"] != before.name
    assert release_of(serving_front(project)) == release_of(project.serving())
    assert [one.name for one in front_of(project).revisions() if one.active] == [deployed["front"]]


def test_a_new_key_reaches_the_front(project: ScriptedProject) -> None:
    key = project.user.run("keys", "add", "alice", str(project.root)).document["key"]
    deployed = deploy(project)
    models = httpx.get(
        f"{deployed['endpoint']}/models", headers={"authorization": f"Bearer {key}"}, timeout=60
    )
    assert models.status_code == 200


def test_provisioning_again_keeps_what_the_front_runs(project: ScriptedProject) -> None:
    before = serving_front(project)
    parameters = project.root / "infra" / "provision" / "inference.parameters.json"
    parameters.write_text(
        parameters.read_text().replace(
            '"cooldownSeconds"', '"startMinutes": {"value": 21}, "cooldownSeconds"'
        )
    )
    run(project, "provision", "--yes")
    now = serving_front(project)
    assert (now.name, now.environment[UPSTREAM_VARIABLE]) == (
        before.name,
        before.environment[UPSTREAM_VARIABLE],
    )
    assert httpx.get(f"http://{front_of(project).read().fqdn}/healthz").status_code == 200
    assert deploy(project)["front"] == before.name


def test_a_front_that_fails_leaves_the_former_one(project: ScriptedProject) -> None:
    before, serves = serving_front(project).name, project.serving().name
    update_settings(project.root, {"scale.front_wait_seconds": 3})
    project.fault("crash_loop")
    failed = project.user.run("deploy", str(project.root), "--allow-unproven")
    assert failed.code == 7
    assert "its front was not updated" in failed.message
    assert (serving_front(project).name, project.serving().name) == (before, serves)
    assert httpx.get(f"http://{front_of(project).read().fqdn}/healthz").status_code == 200
    assert deploy(project)["front"] != before


def test_it_stops_and_starts_with_the_model(project: ScriptedProject) -> None:
    run(project, "stop")
    assert front_of(project).is_stopped()
    assert project.app().is_stopped()
    run(project, "start")
    assert not front_of(project).is_stopped()


def test_switched_off_it_is_gone_and_the_address_is_the_models(project: ScriptedProject) -> None:
    front = front_of(project)
    update_settings(project.root, {"scale.front": False})
    run(project, "provision", "--yes")
    assert not front.exists()
    config = load_inference_config(project.root)
    assert (config.front, config.endpoint) == (None, project.app().read().fqdn)
    assert deploy(project)["front"] is None
