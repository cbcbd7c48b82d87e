"""What a container under a fault runs instead of its command, as a process."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from containerapps_emulator.apps.replicas.container import Launch
from containerapps_emulator.apps.spoiled import SPOILED
from containerapps_emulator.fault_table import Fault

LAUNCH = Launch(("sh", "-c", 'echo "on $PORT"'), {"PORT": "7860", "PATH": "/usr/bin:/bin"}, Path("/"), ())


@pytest.mark.parametrize(
    ("fault", "code", "printed"),
    [
        (Fault.OUT_OF_MEMORY, -9, ""),
        (Fault.CRASH_LOOP, 3, "fatal: the program cannot go on\n"),
        (Fault.WRONG_PORT, 0, "on 0\n"),
        (Fault.SLOW_WEIGHTS, 0, "loading weights 12 of 28\non 7860\n"),
    ],
)
def test_a_spoiled_container_fails_as_its_fault_says(fault: Fault, code: int, printed: str) -> None:
    launch = SPOILED[fault](LAUNCH, 0.0)
    ran = subprocess.run(
        launch.command, env=dict(launch.environment), capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout + ran.stderr) == (code, printed)


def test_every_spoiled_container_is_tried_here() -> None:
    assert set(SPOILED) == {Fault.OUT_OF_MEMORY, Fault.CRASH_LOOP, Fault.WRONG_PORT, Fault.SLOW_WEIGHTS}
