"""OpenAI's two clients on both kinds of template: all that the matrix asks of them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.api.endpoint_builder import RunningEndpoint
from tests.clients.endpoints import FORMS, FullEndpoint, maker, settings
from tests.clients.installed import CLIENTS, Client
from tests.clients.matrix import CASES, TOLD, run_program

NODE_CLIENT = "openai@6.49.0"
OFFLINE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT")
SECONDS = 300
PYTHON, NODE = CLIENTS[:2]


@pytest.fixture(scope="module", params=list(FORMS))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with RunningEndpoint(settings(), maker(FORMS[request.param])) as running:
        yield running.url


@pytest.fixture(scope="module")
def full() -> Iterator[FullEndpoint]:
    with FullEndpoint() as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with openai-node."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("Node is not installed: openai-node is not run")
    folder = tmp_path_factory.mktemp("node")
    command = [
        "npm",
        "install",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
        NODE_CLIENT,
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=SECONDS)
    if done.returncode and not os.environ.get("CI") and any(code in done.stderr for code in OFFLINE):
        pytest.skip("the npm registry does not answer: openai-node is not run")
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


def test_openai_python(url: str, full: FullEndpoint, tmp_path: Path) -> None:
    all_cases_work(PYTHON, url, full, tmp_path, tmp_path)


def test_openai_node(url: str, full: FullEndpoint, packages: Path, tmp_path: Path) -> None:
    all_cases_work(NODE, url, full, tmp_path, packages)


def all_cases_work(client: Client, url: str, full: FullEndpoint, home: Path, node: Path) -> None:
    with full.full():
        done = run_program(client, home, url, full.url, node=node, python=Path(sys.executable))
    told = [line for line in done.stdout.splitlines() if line.startswith(TOLD)]
    assert told, done.stderr[-4000:]
    assert json.loads(told[-1].removeprefix(TOLD)) == {case: {} for case in CASES}
