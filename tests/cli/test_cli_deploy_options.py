"""`remora deploy` of a part of the project, and by a restart. The tests build on one another."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.cli.command import User
from tests.cli.trained_folder import make_adapter, make_base
from tests.project.settings_file import update_settings

from remora.cli.commands.init import init_project

REPLICA = Path(__file__).with_name("replica.py")


@dataclass(frozen=True, slots=True)
class Project:
    root: Path
    user: User

    def deploy(self, *options: str) -> dict[str, Any]:
        ran = self.user.run("deploy", str(self.root), *options)
        assert ran.code == 0, (ran.document, ran.stderr)
        return ran.document

    def refused(self, *options: str, code: int = 5) -> str:
        ran = self.user.run("deploy", str(self.root), *options)
        assert ran.code == code, (ran.document, ran.stderr)
        return ran.message

    def change_adapter(self) -> None:
        weights = self.root / "adapters" / "tone" / "adapter_model.safetensors"
        data = bytearray(weights.read_bytes())
        data[-2] ^= 1
        weights.write_bytes(data)

    def change_settings(self, queued: int) -> None:
        update_settings(self.root, {"serve.max_queued_requests": queued})

    def status(self) -> dict[str, Any]:
        ran = self.user.run("status", str(self.root))
        assert ran.code == 0, ran
        return ran.document


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("options")
    root = folder / "tone"
    make_base(root)
    make_adapter(root, "tone")
    init_project(root, force=False)
    parameters = root / "infra" / "provision" / "inference.parameters.json"
    document = json.loads(parameters.read_text())
    document["parameters"]["defaultCommands"]["value"] = [f"exec python3 {REPLICA} /mount"]
    parameters.write_text(json.dumps(document))
    project = Project(root, User(folder / "home"))
    assert project.user.run("provision", str(root), "--yes").code == 0
    yield project
    project.user.run("cloud", "stop")


def served(deployed: dict[str, Any]) -> int:
    """The setting that the replica that answers now has read from its release."""
    serve: dict[str, int] = httpx.get(f"{deployed['endpoint']}/models").json()["serve"]
    return serve["max_queued_requests"]


def digest(deployed: dict[str, Any]) -> str:
    (answer,) = [item for item in deployed["answers"] if item["model"] == "tone"]
    return str(answer["adapter_digest"])


def test_flags_that_contradict_one_another_are_refused(project: Project) -> None:
    message = project.refused("--code-only", "--adapters-only", code=2)
    assert "exclude each other" in message


@pytest.mark.parametrize("option", ["--code-only", "--adapters-only", "--strategy=restart"])
def test_a_part_needs_the_rest_to_be_deployed(project: Project, option: str) -> None:
    message = project.refused(option)
    assert option.replace("=", " ") in message
    assert "remora deploy" in message
    shares = project.user.home / "cloud" / "shares"
    assert [path.name for path in shares.rglob("*") if path.is_file()] == ["lock"]


def test_only_the_code_changes(project: Project) -> None:
    project.change_settings(5)
    whole = project.deploy()
    project.change_adapter()
    project.change_settings(6)
    code = project.deploy("--code-only")
    assert (served(code), digest(code)) == (6, digest(whole))
    assert code["new_revision"] is True
    assert project.deploy("--code-only")["new_revision"] is False


def test_only_the_adapters_change(project: Project) -> None:
    before = project.deploy("--code-only")
    project.change_settings(7)
    adapters = project.deploy("--adapters-only")
    assert served(adapters) == 6
    assert digest(adapters) != digest(before)
    assert adapters["uploaded"]["files"] == 2
    assert project.deploy("--adapters-only")["new_revision"] is False


def test_adapters_of_another_base_model_need_a_whole_deploy(project: Project) -> None:
    config = project.root / "base" / "config.json"
    text = config.read_text()
    config.write_text(text.replace('"vocab_size": 4', '"vocab_size": 5'))
    message = project.refused("--adapters-only")
    config.write_text(text)
    assert "serves base model" in message


def test_a_restart_cannot_change_the_release(project: Project) -> None:
    message = project.refused("--strategy", "restart")
    assert "would still run release" in message
    assert "--adapters-only" in message


def test_a_restart_keeps_the_revision_and_reads_the_share_anew(project: Project) -> None:
    before, was = project.deploy("--adapters-only"), project.status()["replicas"]
    project.change_adapter()
    after = project.deploy("--adapters-only", "--strategy", "restart")
    now = project.status()["replicas"]
    assert (after["revision"], after["new_revision"]) == (before["revision"], False)
    assert digest(after) != digest(before)
    assert {item["name"] for item in was}.isdisjoint(item["name"] for item in now)
