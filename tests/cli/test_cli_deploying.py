"""`remora plan` and Ctrl+C, on a local cloud whose container never gets ready.

The tests of the first half build on one another.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.azure.arm_stand_in import SUBSCRIPTION, Answer, ArmStandIn
from tests.azure.local_cloud import running_revisions
from tests.cli.command import User, finish
from tests.cli.test_cli_sign_in import stand_in_home
from tests.cli.trained_folder import make_adapter, make_base
from tests.project.settings_file import update_settings

from remora.azure.app.apps import ContainerApp
from remora.azure.app.state import AppState
from remora.azure.profile import Clients, load_profile
from remora.cli.commands.init import init_project
from remora.project.toolkit.config import load_inference_config
from remora.rollout.revision.candidate import RELEASE_VARIABLE

WAIT_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Project:
    """A project, its owner, and a look at what the cloud has of it."""

    root: Path
    user: User

    @property
    def _app(self) -> ContainerApp:
        config = load_inference_config(self.root)
        clients = Clients(load_profile("local", self.user.home), config.subscription_id or "")
        return ContainerApp(clients, config.resource_group or "", config.app or "")

    def state(self) -> AppState:
        return self._app.read()

    def release(self) -> str | None:
        return self.state().environment.get(RELEASE_VARIABLE)

    def running(self) -> list[str]:
        return running_revisions(self._app)

    @property
    def aliases_file(self) -> Path:
        config = load_inference_config(self.root)
        shares = self.user.home / "cloud" / "shares"
        return (
            shares / (config.storage_account or "") / (config.file_share or "") / ".remora" / "aliases.json"
        )

    def plan(self) -> dict[str, Any]:
        ran = self.user.run("plan", str(self.root), "--yes")
        assert ran.code == 0, ran
        return ran.document


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("deploying")
    project = Project(make_project(folder / "tone"), User(folder / "home"))
    yield project
    project.user.run("cloud", "stop")


def make_project(root: Path) -> Path:
    make_base(root)
    make_adapter(root, "tone")
    init_project(root, force=False)
    parameters = root / "infra" / "provision" / "inference.parameters.json"
    document = json.loads(parameters.read_text())
    document["parameters"]["defaultCommands"]["value"] = ["sleep 1000"]
    parameters.write_text(json.dumps(document))
    return root


def test_a_plan_of_everything_changes_nothing(project: Project) -> None:
    plan = project.plan()
    assert plan["schema"] == "remora.plan/v1"
    assert (plan["new_resource_group"], plan["provision"], plan["new_revision"]) == (True, True, True)
    assert {change["kind"] for change in plan["resources"]} >= {"containerApps", "storageAccounts"}
    assert {change["change"] for change in plan["resources"]} == {"Create"}
    assert plan["uploads"]["files"] == 9
    assert plan["adapters"] == ["tone"]
    assert project.plan()["new_resource_group"] is True  # the first one made none
    assert load_inference_config(project.root).app is None


def test_what_is_provisioned_is_no_longer_planned(project: Project) -> None:
    provisioned = project.user.run("provision", str(project.root), "--yes")
    assert provisioned.code == 0
    assert "(✓) managedEnvironments" in provisioned.stderr
    plan = project.plan()
    assert (plan["new_resource_group"], plan["provision"], plan["resources"]) == (False, False, [])
    assert (plan["new_revision"], plan["running_release"], plan["unchanged_files"]) == (True, None, 0)


def test_an_interrupted_rollout_is_taken_back_and_says_so(project: Project) -> None:
    before = project.state()
    deploying = project.user.start("deploy", str(project.root))
    until(lambda: project.release() is not None)
    deploying.send_signal(signal.SIGINT)
    ran = finish(deploying)
    assert ran.code == ran.document["exit_code"] == 130
    assert "nothing has been deployed yet" in ran.message
    assert f"remora deploy {project.root}" in ran.message
    assert project.running() == [before.latest_revision]
    plan = project.plan()
    assert (plan["new_revision"], plan["uploads"]["files"]) == (True, 0)
    assert not project.aliases_file.exists()


def test_a_changed_project_is_a_new_revision_and_one_small_upload(project: Project) -> None:
    make_adapter(project.root, "joke")
    update_settings(project.root, {"serve.max_queued_requests": 7, "adapters.joke": "adapters/joke"})
    plan = project.plan()
    assert plan["new_revision"] is True
    assert plan["running_release"] is None
    assert plan["uploads"]["files"] == 6  # the release and the new adapter
    human = User(project.user.home, {"REMORA_OUTPUT": "human"}).start("plan", str(project.root), "--yes")
    text, _ = human.communicate(timeout=WAIT_SECONDS)
    assert "Revision        a new one" in text
    assert "6 files" in text


def test_a_candidate_that_never_gets_ready_is_taken_away(project: Project) -> None:
    running = project.running()
    ran = project.user.run("deploy", str(project.root), "--timeout", "1")
    assert ran.code == 7
    assert "was not ready in 1 s" in ran.message
    assert project.running() == running
    assert not project.aliases_file.exists()
    history = project.user.run("history", str(project.root)).document["events"]
    assert [event["result"] for event in history] == ["not_ready", "interrupted"]


def test_the_logs_say_what_the_platform_did(project: Project) -> None:
    process = project.user.start("logs", str(project.root), "--system", "--tail", "300")
    printed, said = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 0, said
    events = [json.loads(line) for line in printed.splitlines()]
    assert {event["schema"] for event in events} == {"remora.log/v1"}
    assert any("ContainerStarted" in event["text"] for event in events)


def test_following_logs_ends_with_ctrl_c_and_no_error(project: Project) -> None:
    process = project.user.start("logs", str(project.root), "-f", "--system")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["text"]
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 130
    assert "Error" not in said


def test_a_revision_that_is_not_there_is_not_waited_for(project: Project) -> None:
    ran = project.user.run("logs", str(project.root), "-f", "--revision", "nope")
    assert ran.code == 3
    assert "'nope'" in ran.message


DEPLOYMENT = "resourcegroups/g/providers/microsoft.resources/deployments/remora-inference"


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[tuple[ArmStandIn, Project]]:
    """A project whose cloud never gets done with a deployment."""
    root = make_project(tmp_path / "busy")
    with ArmStandIn() as arm:
        started: list[str] = []

        def put(_: object) -> Answer:
            started.append("Running")
            return Answer(201, {"properties": {"provisioningState": "Accepted"}})

        def get(_: object) -> Answer:
            missing = Answer(404, {"error": {"code": "DeploymentNotFound", "message": "none"}})
            return Answer(200, {"properties": {"provisioningState": "Running"}}) if started else missing

        namespaces = ("microsoft.app", "microsoft.storage", "microsoft.operationalinsights")
        subscription = {"subscriptionId": SUBSCRIPTION, "state": "Enabled"}
        registered = Answer(200, {"registrationState": "Registered", "resourceTypes": []})
        arm.answers |= {("GET", f"providers/{namespace}"): registered for namespace in namespaces}
        arm.answers |= {
            ("GET", "healthz"): Answer(200, {}),
            ("GET", "subscriptions"): Answer(200, {"value": [subscription]}),
            ("GET", "resourcegroups/g"): Answer(200, {"name": "g", "location": "westus3"}),
            ("GET", "resourcegroups/g/resources"): Answer(200, {"value": []}),
            ("POST", f"{DEPLOYMENT}/validate"): Answer(200, {"properties": {}}),
            ("PUT", DEPLOYMENT): put,
            ("GET", DEPLOYMENT): get,
            ("GET", "resourcegroups/g/deployments/remora-inference/operations"): Answer(200, {"value": []}),
            ("POST", f"{DEPLOYMENT}/cancel"): Answer(204),
        }
        yield arm, Project(root, User(stand_in_home(arm, tmp_path)))


def test_an_interrupted_deployment_goes_on_and_says_so(busy: tuple[ArmStandIn, Project]) -> None:
    arm, project = busy
    provisioning = project.user.start("provision", str(project.root), "-g", "g")
    until(lambda: bool(arm.changes()))
    provisioning.send_signal(signal.SIGINT)
    ran = finish(provisioning)
    assert ran.code == 130
    assert "continues in the cloud" in ran.message
    assert f"remora provision {project.root}" in ran.message
    assert not cancelled(arm)


@pytest.mark.parametrize(("answer", "cancels"), [("", False), ("n", True)])
def test_at_a_terminal_leaving_is_the_default_and_no_cancels(
    busy: tuple[ArmStandIn, Project], answer: str, cancels: bool
) -> None:
    arm, project = busy
    terminal = project.user.at_terminal("provision", str(project.root), "-g", "g")
    until(lambda: bool(arm.changes()))
    terminal.interrupt()
    until(lambda: "running in the cloud?" in terminal.shown)
    terminal.answer(answer)
    ran = terminal.finish()
    assert ran.code == 130
    assert ("cancelled" in ran.message) is cancels
    assert cancelled(arm) is cancels


def cancelled(arm: ArmStandIn) -> bool:
    return any(asked.path.endswith("/cancel") for asked in arm.asked)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
