"""The processes of replicas, written down while they run, and their end where a crash left them behind."""

from __future__ import annotations

from typing import Final

from containerapps_emulator.apps.replicas.container import kill_leftover
from containerapps_emulator.state import State

PROCESSES: Final = "apps.process"
OF_CONTAINER: Final = "@"
"""Stands between the names of a replica and of a container that is not its first, in logs and state."""


def kill_leftovers(state: State) -> int:
    """End the replicas that a control plane before this one left running; returns how many processes."""
    killed = 0
    for key, record in state.list(PROCESSES):
        killed += kill_leftover(record["pid"], record["started"], key.partition(OF_CONTAINER)[0])
        state.delete(PROCESSES, key)
    return killed
