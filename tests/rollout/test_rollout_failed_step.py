"""Which command of a container failed first, by logs as bash, pip and Python write them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from remora.project.toolkit.command_steps import names_below, script_of, steps_of
from remora.rollout.revision.failed_step import find_failed_step

STOCK = (
    "cd /mount",
    "pip install torch==99 transformers==4.43.4",
    "cd /mount/inference",
    "python3 ./gradio_chat.py",
)
SCRIPT = "; ".join(STOCK)
NO_FOLDER = "/bin/bash: line 1: cd: /mount/inference: No such file or directory"
NO_MOUNT = "bash: line 1: cd: /mount: No such file or directory"
NO_TORCH = "ERROR: No matching distribution found for torch==99"
NO_PROGRAM = (
    "python3: can't open file '/mount/inference/./gradio_chat.py': [Errno 2] No such file or directory"
)
TRACEBACK = [
    "Traceback (most recent call last):",
    '  File "/mount/inference/./gradio_chat.py", line 4, in <module>',
    "    import torch",
    "ModuleNotFoundError: No module named 'torch'",
]


@pytest.mark.parametrize(
    ("lines", "number", "told"),
    [
        ([NO_MOUNT, NO_TORCH, NO_FOLDER, NO_PROGRAM], 1, NO_MOUNT),
        (["Collecting torch==99", NO_TORCH, *TRACEBACK], 2, NO_TORCH),
        ([*TRACEBACK, "Collecting torch==99", NO_TORCH, *TRACEBACK], 2, NO_TORCH),
        (["ERROR: pip's dependency resolver does not currently take into account", NO_FOLDER], 3, NO_FOLDER),
        ([NO_FOLDER.replace("/mount", "/home/me/shares/x"), NO_PROGRAM], 3, "/home/me/shares/x/inference"),
        ([NO_PROGRAM], 4, NO_PROGRAM),
        (["loading", *TRACEBACK], 4, "ModuleNotFoundError: No module named 'torch'"),
        (["/bin/bash: line 1: pip: command not found", *TRACEBACK], 2, "pip: command not found"),
    ],
)
def test_the_first_command_that_failed_is_named(lines: list[str], number: int, told: str) -> None:
    step = find_failed_step(SCRIPT, lines)
    assert step is not None
    assert (step.number, step.of, step.command) == (number, 4, STOCK[number - 1])
    assert told in str(step)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["Requirement already satisfied: torch", "model loaded"],
        ["ERROR:    [Errno 98] error while attempting to bind on address"],
    ],
)
def test_a_log_that_shows_no_failure_names_none(lines: list[str]) -> None:
    assert find_failed_step(SCRIPT, lines) is None


@pytest.mark.parametrize(
    ("commands", "number"),
    [
        (("cd /no/such/place", "true"), 1),
        (("true", "no-such-program --help", "echo done"), 2),
        (("cd /", f"{sys.executable} ./no_such_program.py", "true"), 2),
        (("echo 'a; b'", f'{sys.executable} -c "import no_such_module"'), 2),
    ],
)
def test_what_bash_really_says_is_understood(commands: tuple[str, ...], number: int) -> None:
    script = "; ".join(commands)
    command = ["/bin/bash", "-c", script]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"})
    step = find_failed_step(script, (ran.stdout + ran.stderr).splitlines())
    assert step is not None, ran.stderr
    assert step.number == number


def test_what_pip_really_says_is_understood(tmp_path: Path) -> None:
    commands = ("cd /", f"{sys.executable} -m pip install --no-index no-such-package==9", "true")
    ran = subprocess.run(
        ["/bin/bash", "-c", "; ".join(commands)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )
    step = find_failed_step("; ".join(commands), (ran.stdout + ran.stderr).splitlines())
    assert step is not None, ran.stderr
    assert step.number == 2
    assert "no-such-package==9" in str(step)


def test_a_command_line_is_taken_apart_where_steps_end() -> None:
    assert steps_of("cd /mount; echo 'a; b' \"c; d\"\n python x.py && y;") == (
        "cd /mount",
        "echo 'a; b' \"c; d\"",
        "python x.py && y",
    )
    assert script_of(["/bin/bash", "-c", SCRIPT]) == SCRIPT
    assert script_of(["python3", "my app.py"]) == "python3 'my app.py'"
    assert script_of([]) == ""


def test_the_names_below_the_mount() -> None:
    assert "inference" in names_below(SCRIPT, "/mount")
    assert names_below("cd /data/src; python3 ../run/x.py", "/data") >= {"src", "run"}
    assert names_below("sleep 1000", "/mount") == set()
