"""The front in a cloud: made, asked, updated, kept when its follower fails, and taken away again.

One project and one local cloud for the whole file; the tests build on one another in order.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from tests.project.settings_file import update_settings
from tests.rollout.echo_replica import HOLD
from tests.rollout.scripted_project import ScriptedProject, provision_scripted_project, release_of

from remora.azure.app.apps import API_KEY_SECRET, ContainerApp
from remora.project.toolkit.config import load_inference_config

REPLICA = Path(__file__).with_name("echo_replica.py")
ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 400.0
USER: list[Any] = [{"role": "user", "content": "hello there"}]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedProject]:
    path = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
    project = provision_scripted_project(
        tmp_path_factory.mktemp("front"),
        defaultCommands=[f"exec {sys.executable} {REPLICA} /mount"],
        environmentVariables=[{"name": "PYTHONPATH", "value": path}],
        cooldownSeconds=1,
    )
    (project.root / "golden.toml").unlink()
    update_settings(project.root, {"scale.min_replicas": 0, "scale.front_wait_seconds": 1})
    yield project
    project.user.run("cloud", "stop")


def test_before_it_is_asked_for_there_is_none(project: ScriptedProject) -> None:
    deployed = project.user.run("deploy", str(project.root), "--allow-unproven")
    assert deployed.code == 0, (deployed.document, deployed.stderr)
    assert deployed.document["front"] is None
