"""What bad input gets: a code, the offending value, a next command, the right exit code, no traceback."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "tone"
ADAPTER = Path("adapters/tone")


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a command was refused."""

    exit_code: int
    code: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Project:
    """A copy of the example to be broken, and a Remora home that stays empty."""

    root: Path
    home: Path

    def refused(self, *arguments: str) -> Refusal:
        """Run a command that must fail before anything is started."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("AZURE_", "REMORA_"))}
        done = subprocess.run(
            [sys.executable, "-m", "remora", *arguments],
            env={**clean, "REMORA_HOME": str(self.home), "REMORA_OUTPUT": "json"},
            capture_output=True,
            text=True,
            check=False,
            timeout=400,
        )
        assert "Traceback" not in done.stderr
        error: dict[str, Any] = json.loads(done.stdout)["error"]
        assert error["hint"], error
        return Refusal(done.returncode, error["code"], error["message"], error["hint"])


@pytest.fixture
def project(tmp_path: Path) -> Project:
    shutil.copytree(
        EXAMPLE, tmp_path / "tone", ignore=shutil.ignore_patterns("infra", "*.py", "text", "recipe")
    )
    return Project(tmp_path / "tone", tmp_path / "home")


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    refusal = Project(empty, tmp_path / "home").refused("up", str(empty), "--yes")
    assert (refusal.exit_code, refusal.code) == (3, "project_incomplete")
    assert list(empty.iterdir()) == []


def test_a_folder_without_adapters(project: Project) -> None:
    shutil.rmtree(project.root / "adapters")
    (project.root / "remora.toml").unlink()
    refusal = project.refused("up", str(project.root), "--yes")
    assert (refusal.exit_code, refusal.code) == (3, "project_incomplete")
    assert "adapter" in refusal.message
    assert not (project.root / "infra").exists()


def test_a_folder_that_is_not_there(project: Project) -> None:
    assert project.refused("init", str(project.root / "nowhere")).exit_code == 3


def another_size(root: Path) -> None:
    """The adapter's weights under a base whose layers are smaller."""
    from safetensors.numpy import load_file, save_file

    weights = root / ADAPTER / "adapter_model.safetensors"
    save_file({name: tensor[:, :-1].copy() for name, tensor in load_file(weights).items()}, weights)


def cut_short(root: Path) -> None:
    weights = root / ADAPTER / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def no_config(root: Path) -> None:
    (root / ADAPTER / "adapter_config.json").write_text("{ not json")


@pytest.mark.parametrize("broken", [another_size, cut_short, no_config])
def test_an_adapter_that_cannot_be_used(project: Project, broken: Callable[[Path], None]) -> None:
    broken(project.root)
    refusal = project.refused("serve", str(project.root), "--port", "0")
    assert (refusal.exit_code, refusal.code) == (5, "adapter_rejected")
    assert "tone" in refusal.message


def test_a_malformed_parameters_file_costs_nothing(project: Project) -> None:
    parameters = project.root / "infra" / "provision" / "inference.parameters.json"
    parameters.parent.mkdir(parents=True)
    (parameters.parent / "inference.bicep").write_text("param defaultCommands array\n")
    parameters.write_text('{\n  "parameters": {,}\n}\n')
    refusal = project.refused("provision", str(project.root), "--yes")
    assert (refusal.exit_code, refusal.code) == (2, "invalid_file")
    assert "inference.parameters.json:2:" in refusal.message
    assert not (project.home / "cloud").exists()


def test_a_template_for_a_subscription_is_refused_before_anything_is_asked(project: Project) -> None:
    template = project.root / "infra" / "provision" / "inference.bicep"
    template.parent.mkdir(parents=True)
    template.write_text("targetScope = 'subscription'\n")
    refusal = project.refused("provision", str(project.root), "--yes")
    assert (refusal.exit_code, refusal.code) == (2, "invalid_file")
    assert "its targetScope is 'subscription'" in refusal.message
    assert not (project.home / "cloud").exists()


def test_malformed_settings_name_the_line(project: Project) -> None:
    (project.root / "remora.toml").write_text('cloud = "local"\n[serve]\ndtype = "float99"\n')
    refusal = project.refused("serve", str(project.root))
    assert (refusal.exit_code, refusal.code) == (2, "invalid_file")
    assert "remora.toml:3" in refusal.message
    assert "float99" in refusal.message


def test_a_port_in_use(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refusal = project.refused("serve", str(project.root), "--port", str(port))
    assert (refusal.exit_code, refusal.code) == (2, "port_in_use")
    assert str(port) in refusal.message


def test_a_listener_for_everybody_needs_a_key(project: Project) -> None:
    refusal = project.refused("serve", str(project.root), "--host", "0.0.0.0", "--no-auth")  # noqa: S104
    assert refusal.exit_code == 2
    assert "everyone" in refusal.message


@pytest.mark.parametrize("command", ["deploy", "status", "logs", "secrets", "down", "open"])
def test_nothing_was_deployed_yet(project: Project, command: str) -> None:
    refusal = project.refused(command, str(project.root))
    assert (refusal.exit_code, refusal.code) == (3, "deployment_not_found")
    assert "remora" in refusal.hint
    assert not (project.home / "cloud").exists()


def test_nobody_to_ask(project: Project) -> None:
    refusal = project.refused("chat", str(project.root))
    assert refusal.exit_code == 2
    assert "--message" in refusal.hint
