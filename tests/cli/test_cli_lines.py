"""`--output jsonl`: progress and questions as JSON lines, for programs that show a command at work."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.api.endpoint_builder import KEY, KEYS, RunningEndpoint
from tests.cli.command import COMMAND_SECONDS, User
from tests.cli.test_cli_deploying import make_project

from remora.azure.app.apps import ContainerApp
from remora.azure.profile import Clients, load_profile
from remora.cli.output.next_command import next_command
from remora.project.toolkit.config import load_inference_config
from remora.server.settings import ServerSettings

Json = dict[str, Any]


class Watched:
    """A command that a program reads line by line, and whose questions it answers."""

    def __init__(
        self, command: list[str], environment: dict[str, str], *, stdin: int = subprocess.PIPE
    ) -> None:
        self.process = subprocess.Popen(
            command, env=environment, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.told: list[Json] = []

    def until(self, **wanted: str) -> Json:
        """The next line on stderr that has these values."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.told.append(json.loads(line))
            if all(self.told[-1].get(key) == value for key, value in wanted.items()):
                return self.told[-1]
        raise AssertionError((wanted, self.told))

    def send(self, document: Json) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(document) + "\n")
        self.process.stdin.flush()

    def receive(self) -> Json:
        assert self.process.stdout is not None
        document: Json = json.loads(self.process.stdout.readline())
        return document

    def finish(self) -> tuple[int, Json]:
        """The exit code and the last line on stdout; closes stdin."""
        stdout, stderr = self.process.communicate(timeout=COMMAND_SECONDS)
        self.told += [json.loads(line) for line in stderr.splitlines()]
        lines = stdout.splitlines()
        return self.process.returncode, json.loads(lines[-1]) if lines else {}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, User]]:
    folder = tmp_path_factory.mktemp("lines")
    user = User(folder / "home")
    yield make_project(folder / "tone"), user
    user.run("cloud", "stop")


def watch(project: tuple[Path, User], *words: str, stdin: int = subprocess.PIPE) -> Watched:
    root, user = project
    command = [sys.executable, "-m", "remora", words[0], str(root), *words[1:], "--output", "jsonl"]
    return Watched(command, user.environment, stdin=stdin)


def test_a_cloud_that_does_not_run_is_not_started_for_a_look(project: tuple[Path, User]) -> None:
    root, user = project
    config = root / "infra" / "inference.config.json"
    empty = config.read_text()
    config.write_text(json.dumps(dict.fromkeys(json.loads(empty), "x")))
    code, document = watch(project, "status", "--no-start").finish()
    config.write_text(empty)
    assert (code, document["error"]["code"]) == (7, "cloud_unavailable")
    assert document["next"] == ["remora", "cloud", "start"]
    assert not (user.home / "cloud" / "connection.json").exists()


def test_progress_is_lines_and_the_result_is_the_last_one(project: tuple[Path, User]) -> None:
    planning = watch(project, "plan")
    done = planning.until(event="done")
    assert done["schema"] == "remora.progress/v1"
    assert done["seconds"] >= 0
    code, plan = planning.finish()
    assert code == 0
    assert (plan["schema"], plan["resource_group"]) == ("remora.plan/v1", "remora-tone")
    assert plan["location"] == "westus3"


@pytest.mark.parametrize("words", [("plan",), ("plan", "--yes")])
def test_on_the_local_cloud_nothing_is_asked(project: tuple[Path, User], words: tuple[str, ...]) -> None:
    planning = watch(project, *words, stdin=subprocess.DEVNULL)
    code, plan = planning.finish()
    assert (code, plan["resource_group"]) == (0, "remora-tone")
    asked = [line for line in planning.told if line["schema"] == "remora.question/v1"]
    assert asked == []


def test_a_secret_is_asked_for_and_kept(project: tuple[Path, User]) -> None:
    assert watch(project, "provision", "--yes").finish()[0] == 0
    root, user = project
    key = user.run("secrets", str(root)).document["api_key"]
    for value in ("hf_one", "hf_two"):
        setting = watch(project, "secrets", "--set", "HF_TOKEN")
        assert setting.until(schema="remora.question/v1")["kind"] == "secret"
        setting.send({"answer": value})
        code, document = setting.finish()
        assert (code, document["secret"], document["variable"]) == (0, "hf-token", "HF_TOKEN")
        assert value not in json.dumps([document, setting.told])
        config = load_inference_config(root)
        clients = Clients(load_profile("local", user.home), config.subscription_id or "")
        app = ContainerApp(clients, config.resource_group or "", config.app or "")
        secrets = app.secrets()
        assert len(secrets.pop("remora-admin-key")) > 40
        assert secrets == {"remora-api-key": key, "hf-token": value}
        (container,) = app.read().template["containers"]
        given = [item for item in container["env"] if item["name"] == "HF_TOKEN"]
        assert given == [{"name": "HF_TOKEN", "secretRef": "hf-token"}]


def test_who_gives_up_is_asked_no_more(project: tuple[Path, User]) -> None:
    removing = watch(project, "down")
    assert removing.until(schema="remora.question/v1")["kind"] == "yes_no"
    removing.send({"answer": None})
    code, document = removing.finish()
    assert (code, document["error"]["code"]) == (130, "interrupted")


@pytest.mark.parametrize("name", ["HF-TOKEN", "1X", "", "__", "REMORA_API_KEY"])
def test_a_secret_needs_a_name_that_is_free(project: tuple[Path, User], name: str) -> None:
    code, document = watch(project, "secrets", "--set", name, stdin=subprocess.DEVNULL).finish()
    assert (code, document["error"]["param"]) == (2, "--set")


def test_a_rollout_that_is_interrupted_goes_back_and_says_so(project: tuple[Path, User]) -> None:
    deploying = watch(project, "deploy")
    deploying.until(event="now")  # it waits for the new revision, which never gets ready
    deploying.process.send_signal(signal.SIGINT)
    code, document = deploying.finish()
    assert code == document["exit_code"] == 130
    assert document["next"][:2] == ["remora", "deploy"]


def test_a_deployment_is_cancelled_when_the_program_says_so(project: tuple[Path, User]) -> None:
    connection = json.loads((project[1].home / "cloud" / "connection.json").read_text())
    late = httpx.post(
        f"{connection['arm_url']}/_faults",
        json={"name": "slow_environment", "seconds": 600},
        headers={"Authorization": f"Bearer {connection['token']}"},
    )
    assert late.is_success
    provisioning = watch(project, "provision", "-g", "late")
    provisioning.until(event="part")  # something is made, the environment is not
    provisioning.process.send_signal(signal.SIGINT)
    question = provisioning.until(schema="remora.question/v1")
    assert (question["kind"], question["default"]) == ("yes_no", "yes")
    provisioning.send({"answer": "no"})
    code, document = provisioning.finish()
    assert code == document["exit_code"] == 130
    assert document["error"]["message"].startswith("cancelled")
    assert document["next"][:2] == ["remora", "provision"]


def test_deleting_needs_a_yes(project: tuple[Path, User]) -> None:
    removing = watch(project, "down")
    assert removing.until(schema="remora.question/v1")["default"] == "no"
    removing.send({"answer": "no"})
    assert removing.finish()[0] == 130
    code, document = watch(project, "down", stdin=subprocess.DEVNULL).finish()
    assert (code, document["error"]["param"]) == (2, "--yes")


def test_a_conversation_is_lines_too() -> None:
    with RunningEndpoint(ServerSettings(api_keys=KEYS, chat_page=False)) as running:
        script = f"""
from remora.cli.output.chat_lines import serve_lines
from remora.cli.output.console import Mode, Output
from remora.rollout.endpoint import Endpoint
with Endpoint({running.url!r}, {KEY!r}) as endpoint:
    models = [item["id"] for item in endpoint.models()]
    serve_lines(endpoint, models, {{"model": models[0], "max_tokens": 50}}, Output(Mode.JSONL))
"""
        talking = Watched([sys.executable, "-c", script], User(Path()).environment)
        first = talking.receive()
        assert first["schema"] == "remora.chat.models/v1"
        assert first["model"] == first["models"][0]
        for model in first["models"]:
            talking.send({"messages": [{"role": "user", "content": "Hello"}], "model": model})
            pieces: list[str] = []
            while (line := talking.receive())["schema"] == "remora.chat.piece/v1":
                pieces.append(line["text"])
            assert (line["schema"], line["model"]) == ("remora.chat/v1", model)
            assert line["answer"] == "".join(pieces) != ""
            assert (line["adapter_digest"] is None) is (model == first["model"])
        for wrong, code in (
            ({"messages": "Hello"}, "invalid_value"),
            ({"messages": [{"role": "user", "content": "Hello"}], "model": "nope"}, "model_not_found"),
        ):
            talking.send(wrong)
            assert talking.receive()["error"]["code"] == code
        assert talking.finish() == (0, {})


@pytest.mark.parametrize(
    ("hint", "command"),
    [
        (
            "run: remora provision my-folder, or fill in the values by hand",
            ["remora", "provision", "my-folder"],
        ),
        ("run `remora init`", ["remora", "init"]),
        ("wait for it with: remora deploy .", ["remora", "deploy", "."]),
        ("sign in with: az login", ["az", "login"]),
        ("choose one with --subscription, or sign in to its tenant: az login --tenant TENANT", None),
        ("see: remora deploy --help", None),
        ("pass --yes", None),
        ("run: remora logs 'a", None),
        ("", None),
    ],
)
def test_the_command_of_a_hint_is_found(hint: str, command: list[str] | None) -> None:
    assert next_command(hint) == command
