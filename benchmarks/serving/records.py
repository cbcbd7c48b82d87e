"""What was measured, kept in a file: a line of JSON for each turn of a server under a load. Judges nothing.

Lines are only ever added, as soon as they are measured, so a long comparison can be done in pieces and an
interrupted one loses a turn at most. To begin anew, delete the file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.serving.machine import Machine
from benchmarks.serving.measure import Measurement
from benchmarks.serving.workload import Load


@dataclass(frozen=True, slots=True)
class Turn:
    """One server under one load in one round. Only turns of the same round of the same run are compared:
    a small machine is not as fast an hour later. Without a measurement, `problem` says why.

    `run` is when the run began, in UTC. `peak_memory_mib` is of this load alone.
    """

    run: str
    round: int
    machine: Machine
    server: str
    precision: str
    load: Load
    measurement: Measurement | None = None
    peak_memory_mib: float | None = None
    problem: str | None = None


def add(path: Path, turn: Turn) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(turn)) + "\n")


def read(path: Path) -> Sequence[Turn]:
    """Raises FileNotFoundError where nothing was measured yet."""
    return [_turn(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def _turn(fields: dict[str, Any]) -> Turn:
    measurement = fields.pop("measurement")
    if measurement is not None:
        firsts = tuple(measurement.pop("first_token_seconds"))
        measurement = Measurement(**measurement, first_token_seconds=firsts)
    machine, load = Machine(**fields.pop("machine")), Load(**fields.pop("load"))
    return Turn(**fields, machine=machine, load=load, measurement=measurement)
