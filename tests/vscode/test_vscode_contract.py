"""What the VS Code extension reads is what the command line says: recorded documents are of today's shape.

One project, brought up and torn down in order; the tests build on one another.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
from tests.cli.command import User
from tests.vscode.recorded import RECORDED, Json, check, differing

from remora.rollout.rollback import RolledBack

EXAMPLE = Path(__file__).parents[2] / "examples" / "tone"
PHRASE = "I finally got the job I wanted"
COMMAND_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Project:
    """A project folder, and its owner at work in it, as the extension is: without naming the folder."""

    root: Path
    user: User

    def lines(self, *arguments: str, stdin: str = "") -> tuple[list[Json], list[Json]]:
        """The JSON lines on stdout and stderr of a command that ends."""
        done = subprocess.run(
            [sys.executable, "-m", "remora", *arguments, "--output", "jsonl"],
            env=self.user.environment,
            cwd=self.root,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS,
        )
        assert "Traceback" not in done.stderr, done.stderr
        stdout, stderr = done.stdout.splitlines(), done.stderr.splitlines()
        return [json.loads(line) for line in stdout], [json.loads(line) for line in stderr]

    def check(self, name: str, document: Json) -> None:
        assert document["schema"] == f"remora.{name}/v1", document
        check(name, document, private=self.root)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("vscode")
    shutil.copytree(EXAMPLE, folder / "tone")
    project = Project(folder / "tone", User(folder / "home"))
    yield project
    project.user.run("cloud", "stop")


def test_an_error(project: Project) -> None:
    stdout, _ = project.lines("open", "--print")
    project.check("error", stdout[-1])
    assert stdout[-1]["next"] == ["remora", "up"]


def test_a_plan_asks_nothing_on_the_local_cloud(project: Project) -> None:
    initialised, _ = project.lines("init")
    assert initialised[-1]["schema"] == "remora.init/v1"
    stdout, stderr = project.lines("plan")
    project.check("plan", stdout[-1])
    assert [line for line in stderr if line["schema"] == "remora.question/v1"] == []
    events = [line for line in stderr if line["schema"] == "remora.progress/v1"]
    assert {event["event"] for event in events} >= {"started", "done", "summary"}
    project.check("progress", next(event for event in events if event["event"] == "done"))


def test_provision_and_deploy(project: Project) -> None:
    for name in ("provision", "deploy"):
        stdout, _ = project.lines(name, "--yes") if name == "provision" else project.lines(name)
        project.check(name, stdout[-1])


def test_a_question(project: Project) -> None:
    _, stderr = project.lines("down", stdin='{"answer": null}\n')
    (question,) = (line for line in stderr if line["schema"] == "remora.question/v1")
    assert question["kind"] == "yes_no"
    project.check("question", question)


def test_looking_at_it(project: Project) -> None:
    for name, *flags in (("open", "--print"), ("status", "--no-start"), ("secrets",)):
        stdout, stderr = project.lines(name, *flags)
        key = stdout[-1].get("api_key")
        assert key is None or all(key not in json.dumps(line) for line in stderr)
        project.check(name, {**stdout[-1], **({"api_key": "a-key"} if key else {})})
    stdout, _ = project.lines("logs", "--tail", "1")
    project.check("log", stdout[-1])


def test_a_conversation(project: Project) -> None:
    question = {"messages": [{"role": "user", "content": PHRASE}], "model": "tone"}
    stdout, _ = project.lines("chat", stdin=json.dumps(question) + "\n")
    for name, document in (("chat.models", stdout[0]), ("chat.piece", stdout[1]), ("chat", stdout[-1])):
        project.check(name, document)
    assert stdout[-1]["answer"].strip() == "joy"


def test_a_comparison(project: Project) -> None:
    stdout, _ = project.lines("compare", "--out", str(project.root / "comparison.html"))
    project.check("compare", stdout[-1])


def test_adapters_and_their_versions(project: Project) -> None:
    listed, _ = project.lines("adapters", "list")
    project.check("adapters.list", listed[-1])
    pirate = next(each["digest"] for each in listed[-1]["adapters"] if each["name"] == "pirate")
    for words in (("alias", "tone", pirate), ("rollback", "tone")):
        changed, _ = project.lines("adapters", *words)
    project.check("adapters.change", changed[-1])
    assert changed[-1]["from"] == pirate


def test_a_release_that_was_rolled_back(project: Project) -> None:
    done = RolledBack("app--2", "release-1", "app--1", "release-2", started=False, in_place=False)
    project.check("rollback", {"schema": "remora.rollback/v1", **asdict(done)})


def test_a_secret_is_kept(project: Project) -> None:
    stdout, stderr = project.lines("secrets", "--set", "HF_TOKEN", stdin='{"answer": "hf_secret"}\n')
    project.check("secrets.set", stdout[-1])
    assert "hf_secret" not in json.dumps([stdout, stderr])


def test_tearing_down(project: Project) -> None:
    stdout, _ = project.lines("down", "--yes")
    project.check("down", stdout[-1])


def test_another_shape_is_seen() -> None:
    known = json.loads((RECORDED / "plan.json").read_text())
    assert differing(known, known, "plan") == []
    without = {key: value for key, value in known.items() if key != "location"}
    assert differing(known, without, "plan") == ["plan.location is gone"]
    renamed = {**known, "resources": [{"kind": "x", "changes": "Create", "name": "y"}]}
    assert differing(known, renamed, "plan") == ["plan.resources[].change is gone"]
    assert differing(known, {**known, "provision": "yes"}, "plan") == ["plan.provision was True, is 'yes'"]
    assert differing(known, {**known, "new": 1}, "plan") == []
