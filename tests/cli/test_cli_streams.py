"""Streams that are closed or full, a folder that is gone, terminals without a name: a code, no traceback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.command import COMMAND_SECONDS, User

EXAMPLE = Path(__file__).parents[2] / "examples" / "tone"


def shell(user: User, line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A line as somebody types it; `remora` is ours."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    known = {**user.environment, "PATH": path, **environment}
    known = {name: value for name, value in known.items() if value}
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env=known,
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
        errors="replace",
        timeout=COMMAND_SECONDS,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert "Exception ignored" not in done.stderr, done.stderr
    assert "internal_error" not in done.stdout + done.stderr, done
    return done


@pytest.fixture
def user(tmp_path: Path) -> User:
    return User(tmp_path / "home", {"REMORA_OUTPUT": "human"})


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    root = tmp_path / "tone"
    shutil.copytree(EXAMPLE, root, ignore=shutil.ignore_patterns("infra"))
    return root


def test_a_closed_stdin_is_an_empty_one(user: User, tone: Path) -> None:
    done = shell(user, "remora adapters show adapters/tone <&-", tone)
    assert (done.returncode, "digest" in done.stdout) == (0, True)


@pytest.mark.parametrize("mode", ["human", "json"])
@pytest.mark.parametrize("command", ["remora cloud status", "remora adapters show adapters/tone"])
def test_a_full_disk_behind_stdout(user: User, tone: Path, command: str, mode: str) -> None:
    done = shell(user, f"{command} -o {mode} >/dev/full", tone)
    assert done.returncode == 1
    assert "Error (disk_full): stdout cannot be written: the disk is full" in done.stderr


@pytest.mark.parametrize(
    "command",
    ["remora", "remora --version", "remora cloud status", "remora cloud status -o json", "remora up --help"],
)
def test_a_closed_stdout(user: User, tone: Path, command: str) -> None:
    done = shell(user, f"{command} >&-", tone)
    assert done.returncode == 1
    assert "Error (cannot_write): stdout cannot be written" in done.stderr


def test_an_error_reaches_people_where_stdout_takes_nothing(user: User, tone: Path) -> None:
    done = shell(user, "remora status -o json >/dev/full", tone)
    assert done.returncode == 3
    assert "Error (deployment_not_found): nothing has been deployed" in done.stderr


def test_progress_that_nobody_sees_stops_nothing(user: User, tone: Path) -> None:
    for line in ("remora adapters verify adapters/tone --no-proof 2>&-", "remora init 2>/dev/full"):
        assert shell(user, line, tone).returncode == 0


def test_a_reader_that_has_enough_is_no_error(user: User, tone: Path) -> None:
    done = shell(user, "(remora adapters show adapters/tone; echo $? >code) | true", tone)
    assert done.stderr == ""
    assert int((tone / "code").read_text()) in (0, 141)


def test_a_working_directory_that_was_deleted(user: User, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    done = shell(user, f"rmdir {gone}; remora status -o json", gone)
    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (3, "not_found")
    assert "working directory" in done.stdout


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"LANG": "C", "LC_ALL": "POSIX", "PYTHONIOENCODING": "ascii"},
        {"TERM": ""},
        {"TERM": "dumb"},
        {"HOME": ""},
        {"USER": "", "LOGNAME": ""},
    ],
)
def test_an_environment_that_lacks_something(
    user: User, tone: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    folder = tmp_path / "Schöne Töne"
    shutil.move(tone, folder)
    assert shell(user, "remora init", folder, **environment).returncode == 0
    shown = shell(user, "remora adapters show adapters/tone", folder, **environment)
    assert (shown.returncode, "digest" in shown.stdout) == (0, True)
    assert shell(user, f"remora status '{folder}'", tmp_path, **environment).returncode == 3


@pytest.mark.parametrize("command", ["remora cloud start", "remora plan --yes", "remora adapters list"])
def test_a_home_that_takes_no_file(user: User, tone: Path, command: str) -> None:
    (tone / "infra").mkdir()
    places = (
        "SUBSCRIPTION_ID",
        "RESOURCE_GROUP_NAME",
        "STORAGE_ACCOUNT_NAME",
        "FILE_SHARE_NAME",
        "ACA_APP_NAME",
    )
    (tone / "infra" / "inference.config.json").write_text(json.dumps(dict.fromkeys(places, "x")))
    done = shell(user, command, tone, REMORA_HOME="/sys/remora")  # nobody can make a folder there
    assert done.returncode == 1
    assert "Error (cannot_write): /sys/remora" in done.stderr
