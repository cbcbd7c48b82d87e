"""Containers under a fault: what is started instead of a container's command. A table; starts nothing."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from containerapps_emulator.apps.replicas.container import Launch
from containerapps_emulator.fault_table import Fault


def _script(launch: Launch, script: str) -> Launch:
    """The same container with a shell script, whose "$@" is the container's own command."""
    return replace(launch, command=("sh", "-c", script, "sh", *launch.command))


SPOILED: Final[Mapping[Fault, Callable[[Launch, float], Launch]]] = {
    Fault.OUT_OF_MEMORY: lambda launch, _: _script(launch, "kill -9 $$"),
    Fault.CRASH_LOOP: lambda launch, _: _script(launch, "echo 'fatal: the program cannot go on' >&2; exit 3"),
    Fault.WRONG_PORT: lambda launch, _: replace(launch, environment={**launch.environment, "PORT": "0"}),
    Fault.SLOW_WEIGHTS: lambda launch, seconds: _script(
        launch, f'echo "loading weights 12 of 28"; sleep {shlex.quote(str(seconds))}; exec "$@"'
    ),
}
