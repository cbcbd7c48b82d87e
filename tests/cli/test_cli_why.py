"""`remora why` and the faults of the local cloud: each one on, diagnosed, off, and deployed over.

The tests share a cloud and a project, whose replicas are a small script that starts at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.azure.local_cloud import until
from tests.cli.command import User
from tests.cli.in_process import Caller
from tests.cli.trained_folder import make_adapter, make_base
from tests.project.settings_file import update_settings

from containerapps_emulator.fault_table import ARM_ANSWERS, FILES_ERRORS, MEANINGS, Fault
from containerapps_emulator.storage.errors import FilesError
from remora.cli.commands.init import init_project
from remora.project.toolkit.config import load_inference_config
from remora.rollout.why.causes import Confidence, judge
from remora.rollout.why.facts import Fact, Facts, Source
from remora.rollout.why.known_causes import KNOWN_CAUSES

REPLICA = Path(__file__).with_name("replica.py")
LATE_SECONDS = "600"
STARTED = '{"level": "warning", "message": "it starts", "request_id": "r-1"}'
_numbers = count(30)


@dataclass(frozen=True, slots=True)
class Project:
    """A project folder and its owner."""

    root: Path
    user: Caller

    def change_release(self) -> None:
        """So that the next deploy needs a new revision."""
        update_settings(self.root, {"serve.max_queued_requests": next(_numbers)})

    def change_template(self) -> None:
        """So that the next `up` deploys the template again."""
        path = self.root / "infra" / "provision" / "inference.parameters.json"
        document = json.loads(path.read_text())
        document["parameters"]["maximumInstanceCount"] = {"value": next(_numbers)}
        path.write_text(json.dumps(document))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("why")
    root = folder / "tone"
    make_base(root)
    make_adapter(root, "tone")
    init_project(root, force=False)
    parameters = root / "infra" / "provision" / "inference.parameters.json"
    document = json.loads(parameters.read_text())
    document["parameters"]["defaultCommands"]["value"] = [
        f"echo '{STARTED}'",
        f"exec python3 {REPLICA} /mount",
    ]
    parameters.write_text(json.dumps(document))
    project = Project(root, Caller(folder / "home"))
    assert User(folder / "home").run("cloud", "start").code == 0  # a process that nobody here waits for
    yield project
    project.user.run("cloud", "stop")


def costs_of_one_replica(project: Project) -> dict[str, Any]:
    """What `cost` says once the replica of the first revision, which was put to sleep, has ended."""

    def cost() -> dict[str, Any]:
        return project.user.run("cost", str(project.root)).document

    until(lambda: len(cost()["running"]) == 1)
    return cost()


def test_before_the_first_deploy_nothing_is_known_and_afterwards_nothing_is_wrong(project: Project) -> None:
    before = project.user.run("why", str(project.root))
    assert (before.code, before.document["error"]["code"]) == (3, "deployment_not_found")
    dear = project.user.run("up", str(project.root), "--yes", "--max-hourly", "0.01", "--location", "westus2")
    assert (dear.code, "--max-hourly is 0.01" in dear.message) == (5, True)
    assert load_inference_config(project.root).resource_group is None
    up = project.user.run("up", str(project.root), "--yes")
    assert (up.code, up.document["price"]["region"], up.document["price"]["hour_awake"]) == (
        0,
        "westus3",
        None,
    )
    cost = costs_of_one_replica(project)
    assert (cost["billed"], cost["running"][0]["seconds"] >= 0) == (False, True)
    page = project.root / "why.html"
    after = project.user.run("why", str(project.root), "--html", str(page)).document
    assert (after["cause"], after["evidence"], after["next"]) == ("nothing", [], None)
    assert "serves" in after["says"]
    assert {row["source"] for row in after["facts"]} >= {
        "arm",
        "system log",
        "history",
        "revision",
        "replica",
    }
    assert all(row["seconds"] is not None for row in after["facts"] if row["source"] == "arm")
    assert after["says"] in page.read_text()
    assert "<script" not in page.read_text()


def test_logs_are_json_in_a_pipe_and_filtered_by_time_text_and_request(project: Project) -> None:
    root = str(project.root)
    printed = project.user.printed("logs", root)
    assert (printed[0], printed[1].splitlines()) == (0, [STARTED])
    for words in (("--grep", "IT STARTS"), ("--request", "r-1"), ("--since", "1h")):
        code, text, _ = project.user.printed("logs", root, *words, output="json")
        assert (code, json.loads(text)["text"]) == (0, STARTED)
    for words in (("--grep", "ended"), ("--request", "r-2"), ("--since", "2999-01-01")):
        assert project.user.printed("logs", root, *words)[:2] == (0, "")
    assert project.user.run("logs", root, "--since", "soon").document["error"]["param"] == "--since"
    assert project.user.run("logs", root, "--grep", "(").document["error"]["param"] == "--grep"


# The fault; what the next `up` needs to meet it; exit code; cause; what stands in the fix.
TEMPLATE, RELEASE = "change_template", "change_release"
MET = (
    ("no_role", TEMPLATE, 5, "no_role", "--role Contributor"),
    ("provider_not_registered", TEMPLATE, 6, "provider_not_registered", "az provider register"),
    ("deployment_active", TEMPLATE, 9, "deployment_active", "wait"),
    ("quota", TEMPLATE, 6, "quota_family", "maximumInstanceCount"),
    ("token_expired", RELEASE, 4, "token_expired", "az login"),
    # A program of one's own cannot go without the key; that Remora's can is tested in test_cli_keyless.py.
    ("shared_keys_forbidden", RELEASE, 5, "shared_keys_forbidden", "--allow-shared-key-access"),
    ("share_full", RELEASE, 1, "share_full", "--quota"),
    ("image_pull_denied", RELEASE, 7, "image_pull_denied", "registry"),
    ("image_pull_slow", RELEASE, 7, "image_pull_slow", "--timeout"),
    ("stuck_replica", RELEASE, 7, "stuck_assigning", "in-place"),
    ("out_of_memory", RELEASE, 7, "out_of_memory", "memory"),
    ("crash_loop", RELEASE, 7, "crash_loop", "remora logs"),
    ("slow_weights", RELEASE, 7, "slow_weights", "--timeout"),
)
"""The faults that a whole `up` meets here; the table of causes is tested on recorded facts."""
# Those that end with the limit of `up`; slow weights must have been told of by then.
WAITS = {"image_pull_slow": "6", "stuck_replica": "6", "slow_weights": "20"}


@pytest.mark.parametrize("met", MET, ids=[met[0] for met in MET])
def test_a_fault_is_diagnosed_and_after_it_the_next_up_succeeds(
    project: Project, met: tuple[str, str, int, str, str]
) -> None:
    fault, change, code, cause, fix = met
    user, root = project.user, str(project.root)
    getattr(project, change)()
    assert user.run("cloud", "faults", "on", fault, "--seconds", LATE_SECONDS).code == 0
    failed = user.run("up", root, "--yes", "--timeout", WAITS.get(fault, "600"))
    assert user.run("cloud", "faults", "off", fault).code == 0
    assert failed.code == code, failed
    because, way_out = failed.document["error"]["why"]
    told = user.run("why", root).document
    assert (told["cause"], fix in told["fix"]) == (cause, True), told
    assert told["confidence"] in ("certain", "likely", "possible")
    assert told["evidence"]
    assert because.startswith("Why: ")
    assert fix in way_out, (because, way_out, failed.stderr, told)
    assert user.run("up", root, "--yes").code == 0
    assert user.run("why", root).document["cause"] == "nothing"


def test_a_sleeping_endpoint_is_woken_and_shows_what_it_does(project: Project) -> None:
    """An app sleeps after a restart of its cloud, as it does with no replica."""
    user, root = project.user, str(project.root)
    assert user.run("cloud", "stop").code == 0
    assert User(user.home).run("cloud", "start").code == 0
    assert user.run("cloud", "faults", "on", "slow_weights", "--seconds", "20").code == 0
    warm = user.run("warm", root, output="jsonl")
    assert user.run("cloud", "faults", "off", "slow_weights").code == 0
    assert (warm.code, warm.document["models"]) == (0, ["tone-base", "tone"])
    assert "loading weights 12 of 28" in warm.stderr
    again = user.run("chat", root, "--message", "hi")
    assert (again.code, again.document["answer"]) == (0, "hello")


@pytest.mark.parametrize(
    ("fault", "told", "ends"),
    [
        ("crash_loop", "ContainerBackOff|ProcessExited", True),  # whichever the wait sees first
        ("image_pull_denied", "ImagePull", True),
        ("stuck_replica", "AssigningReplicaFailed", False),
    ],
)
def test_the_wait_for_a_sleeping_endpoint_tells_the_reason_in_a_pipe_and_ends_with_it(
    project: Project, fault: str, told: str, ends: bool
) -> None:
    """Without an end of its own a wait ends after 1,200 s, which is longer than a test may take."""
    user, root = project.user, str(project.root)
    assert user.run("cloud", "stop").code == 0
    assert User(user.home).run("cloud", "start").code == 0
    assert user.run("cloud", "faults", "on", fault, "--seconds", LATE_SECONDS).code == 0
    command = ("chat", root, "--message", "hi") if ends else ("warm", root, "--timeout", "12")
    code, _, said = user.printed(*command)
    assert user.run("cloud", "faults", "off", fault).code == 0
    assert code == 7, said
    assert re.search(told, said), said
    if ends:
        assert "remora why" in said
        assert "did not wake up" not in said
    assert user.run("cloud", "stop").code == 0
    assert User(user.home).run("cloud", "start").code == 0


def test_what_is_deployed_can_be_exported_without_its_keys(project: Project) -> None:
    user, root = project.user, str(project.root)
    key = user.run("secrets", root).document["api_key"]
    code, manifests, told = user.printed("export", "kubernetes", root)
    kinds = [item["kind"] for item in json.loads(manifests)["items"]]
    assert (code, kinds) == (0, ["PersistentVolumeClaim", "Deployment", "Service"])
    assert "kubectl create secret generic" in told
    code, compose, _ = user.printed("export", "compose", root, "--share", "/srv/share")
    (service,) = json.loads(compose)["services"].values()
    assert (code, service["volumes"][0]["source"]) == (0, "/srv/share")
    assert key not in manifests + compose + told


def test_faults_are_listed_and_switched_by_name(project: Project) -> None:
    user = project.user
    assert user.run("cloud", "faults", "on", "throttled", "--times", "2").code == 0
    assert user.run("cloud", "faults", "on", "no_role").code == 0
    listed = {row["name"]: row for row in user.run("cloud", "faults", "list").document["faults"]}
    assert len(listed) == len(MEANINGS)
    assert (listed["throttled"]["on"], listed["throttled"]["times"]) == (True, 2)
    assert (listed["no_role"]["on"], listed["no_role"]["times"]) == (True, None)
    assert user.run("cloud", "faults", "off", "--all").document["names"] == ["no_role", "throttled"]
    assert not any(row["on"] for row in user.run("cloud", "faults", "list").document["faults"])
    wrong = user.run("cloud", "faults", "on", "no_rule")
    assert (wrong.code, "no_role" in wrong.message) == (2, True)
    assert user.run("cloud", "faults", "off").code == 2


@pytest.mark.parametrize("fault", [*ARM_ANSWERS, *FILES_ERRORS])
def test_what_a_fault_answers_is_known_as_its_cause(fault: Fault) -> None:
    """Without a cloud: the answer's own words, as a failed command repeats them."""
    if fault in FILES_ERRORS:
        error = FilesError(*FILES_ERRORS[fault])
        text = f"{error.code}: {error.message}"
    else:
        answer = ARM_ANSWERS[fault]
        text = f"{answer.code}: {answer.message}" if answer.code else REFUSALS[fault]
    failed = Fact("", Source.COMMAND, f"up: {text}", wrong=True)
    verdict = judge(Facts((failed,)), KNOWN_CAUSES)
    assert (verdict.cause, verdict.confidence) == (fault, Confidence.CERTAIN)


REFUSALS = {
    Fault.REGION_WITHOUT_PROFILE: "region 'westus3' has no workload profile 'NC24-A100'; it has: none",
    Fault.NAME_TAKEN: "storage account 'st' cannot be created: The storage account name is already taken.",
}
"""What a check before the deployment says, for the faults that are no error of ARM."""
