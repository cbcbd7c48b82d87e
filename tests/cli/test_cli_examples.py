"""The example in the help of every command works as it is printed, in a fresh folder or after `remora up`."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
from tests.cli.command import User
from tests.cli.systemctl import with_systemctl
from tests.project.settings_file import update_settings
from tests.project.stock_layout import LAYOUTS, write_stock_project

from remora.cli.main import COMMANDS

EXAMPLE = Path(__file__).parents[2] / "examples" / "tone"
EXAMPLE_SECONDS = 600
GOES_ON = {"remora serve examples/tone": "ready on", "remora logs examples/tone -f": ""}
"""What runs until it is interrupted, and what it says when it is at work."""

pytestmark = pytest.mark.timeout(1800)


def examples() -> list[str]:
    found = []
    for command in (command for group in COMMANDS.values() for command in group):
        app: typer.Typer = importlib.import_module(command.module).app
        found += [str(each.epilog).removeprefix("Example: ") for each in app.registered_commands]
    return found


FRESH = (
    "remora plan examples/tone",
    "remora init examples/tone",
    "remora import my-project --write",
    "remora provision examples/tone --resource-group my-group",
    "remora down examples/tone --yes",
    "remora serve examples/tone",
)
"""Those that nothing must have been deployed for, in an order in which the first of a kind finds it fresh."""
FIRST = ("remora up examples/tone", "remora golden check examples/tone")
AFTER_A_SECOND_RELEASE = ("remora rollback examples/tone --yes",)
LAST = ("remora cloud stop", "remora cloud reset --keep-shares --yes")


@dataclass(frozen=True, slots=True)
class Place:
    """A folder with a copy of what the examples name, and a user in it."""

    folder: Path
    user: User

    def run(self, example: str) -> None:
        """The line as a shell runs it."""
        if example in GOES_ON:
            self._run_until(example, GOES_ON[example])
            return
        done = subprocess.run(
            ["bash", "-e", "-c", f"set -o pipefail; {example}"],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=EXAMPLE_SECONDS,
        )
        assert done.returncode == 0, (example, done.stdout[-2000:], done.stderr[-2000:])
        assert "Error (" not in done.stderr, (example, done.stderr[-2000:])

    def _run_until(self, example: str, said: str) -> None:
        with subprocess.Popen(
            ["bash", "-c", f"exec {example} 2>&1"],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            seen = []
            for line in process.stdout:
                seen.append(line)
                if said in line:
                    break
            else:
                pytest.fail(f"{example}: {''.join(seen)}")
            process.send_signal(signal.SIGINT)
            process.stdout.read()
        assert process.returncode in (0, 130), example

    @property
    def _environment(self) -> dict[str, str]:
        environment = self.user.environment
        path = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        return {**environment, "REMORA_OUTPUT": "human", "PATH": path, "PORT": "0"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    user = with_systemctl(User(tmp_path_factory.mktemp("home")), tmp_path_factory.mktemp("login"))
    yield user
    user.run("cloud", "stop")


def place(folder: Path, user: User) -> Place:
    ignored = shutil.ignore_patterns("infra", "text", "recipe", "*.py")
    shutil.copytree(EXAMPLE, folder / "examples" / "tone", ignore=ignored)
    (folder / "pairs.jsonl").write_text('{"prompt": "I finally got the job I wanted", "answer": "joy"}\n')
    return Place(folder, user)


def test_in_a_fresh_folder(home: User, tmp_path: Path) -> None:
    provisioned = place(tmp_path / "provisioned", home)
    for number, example in enumerate(FRESH):
        there = place(tmp_path / str(number), home)
        if "my-project" in example:
            write_stock_project(there.folder / "my-project", LAYOUTS[0])
            for part in ("base", "adapters"):
                shutil.copytree(EXAMPLE / part, there.folder / "my-project" / part)
        (provisioned if "provision" in example or "down" in example else there).run(example)


def test_after_up(home: User, tmp_path: Path) -> None:
    there = place(tmp_path, home)
    for example in FIRST:
        there.run(example)
    root = there.folder / "examples" / "tone"
    versions = home.run("adapters", "list", str(root)).document["adapters"]
    digest = next(each["digest"] for each in versions if each["name"] == "pirate")
    told = {*FRESH, *FIRST, *AFTER_A_SECOND_RELEASE, *LAST}
    for example in (each for each in examples() if each not in told):
        if example.startswith("remora adapters push"):
            there.run(f"remora adapters push tone {root}/adapters/pirate {root}")  # the former one, for later
        there.run(example.replace("DIGEST", digest))
    there.run(f"remora adapters push tone {root}/adapters/tone {root}")  # a deploy keeps what was pushed
    update_settings(root, {"serve.max_queued_requests": 7})
    there.run(f"remora deploy {root}")
    for example in (*AFTER_A_SECOND_RELEASE, *LAST):
        there.run(example)


def test_no_example_is_left_out() -> None:
    assert {*FRESH, *FIRST, *AFTER_A_SECOND_RELEASE, *LAST} <= set(examples())
    assert all(example.split("remora ")[1] for example in examples())
