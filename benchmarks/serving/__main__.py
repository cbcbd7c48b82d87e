"""Many adapters on one machine: every server is asked the same over HTTP, in turns. Prints tables and ratios.

    python -m benchmarks.serving [--servers PART …] [--loads 8x16 …] [--rounds 3] [--write FILE] [--tiny]

A load `8x16` is 8 adapters and 16 requests at once; `0x1` is the base model, one request. A server is
started for its turn and has the machine to itself; every other round goes through the servers backwards.
What was measured is added to a file at once, so a comparison can be done in pieces: name some servers, loads
and a round in each. Only what was measured in one round is compared. `8x16` on every peer takes about ten
minutes a round. `python -m benchmarks.serving.page` makes docs/performance.md from the file.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import httpx
from benchmarks.serving import machine, records, report
from benchmarks.serving.measure import Measurement, measure
from benchmarks.serving.model import SHAPE, TINY, make_models
from benchmarks.serving.process import started
from benchmarks.serving.records import Turn
from benchmarks.serving.servers import PROGRAMS, Server, export_for_openvino, servers
from benchmarks.serving.workload import Ask, Load, asks

LOADS = ("0x1", "0x4", "0x16", "0x64", "1x1", "1x16", "8x1", "8x4", "8x16", "8x64", "32x16")
WARM_UP_SEED = 999
WARM_UP_REQUESTS = 2
FAILURES = (RuntimeError, OSError, subprocess.SubprocessError, httpx.HTTPError)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Which servers of which models are asked what."""

    models: Path
    servers: Sequence[Server]
    loads: Sequence[Load]
    vocab_size: int

    def asks(self, load: Load, seed: int) -> Sequence[Ask]:
        return asks(load, vocab_size=self.vocab_size, seed=seed)


def main() -> int:
    options = _options()
    loads = [Load(*map(int, load.split("x"))) for load in options.loads]
    most_adapters = max(load.adapters for load in loads)
    models = make_models(options.folder.resolve(), most_adapters, tiny=options.tiny)
    chosen = [
        server
        for server in servers()
        if not options.servers or any(part.lower() in server.name.lower() for part in options.servers)
    ]
    _prepare(models, chosen, most_adapters)
    vocab_size = int(str((TINY if options.tiny else SHAPE)["vocab_size"]))
    comparison = Comparison(models, chosen, loads, vocab_size)
    run = datetime.now(UTC).isoformat(timespec="seconds")
    turns: list[Turn] = []
    for number in range(options.rounds):
        for turn in _round(comparison, run, number):
            records.add(options.write or models / "results.jsonl", turn)
            turns.append(turn)
            print(_line(turn), file=sys.stderr, flush=True)
    sys.stdout.write(report.text(turns))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--servers", nargs="*", default=[], help="parts of names; all where none is given")
    parser.add_argument("--loads", nargs="*", default=list(LOADS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", type=Path, metavar="FILE", help="where to add results; else to the models")
    parser.add_argument("--folder", type=Path, default=Path(".bench"), help="where models are kept")
    parser.add_argument("--tiny", action="store_true", help="a toy model, to try the harness itself")
    return parser.parse_args()


def _round(comparison: Comparison, run: str, number: int) -> Iterator[Turn]:
    """Every server under every load, once."""
    described = partial(Turn, run, number, machine.describe(comparison.models))
    backwards = number % 2 == 1
    for adapters in sorted({load.adapters for load in comparison.loads}):
        loads = [load for load in comparison.loads if load.adapters == adapters]
        for server in comparison.servers[::-1] if backwards else comparison.servers:
            turn = partial(described, server.name, server.precision)
            left = list(loads)
            try:
                for found, peak_memory_mib in _measured(comparison, server, loads, number):
                    yield turn(left.pop(0), found, peak_memory_mib)
            except FAILURES as error:
                yield from (turn(load, problem=str(error) or repr(error)) for load in left)


def _measured(
    comparison: Comparison, server: Server, loads: Sequence[Load], seed: int
) -> Iterator[tuple[Measurement, float]]:
    """For each load, with its peak memory. Raises one of FAILURES where a server does not start or answer."""
    adapters = loads[0].adapters
    with started(server, comparison.models, adapters) as process:
        measure(server, process.port, comparison.asks(Load(adapters, WARM_UP_REQUESTS), WARM_UP_SEED))
        for load in loads:
            process.forget_peak_memory()
            found = measure(server, process.port, comparison.asks(load, seed))
            yield found, process.peak_memory_mib()


def _line(turn: Turn) -> str:
    found = turn.measurement
    said = f"{found.tokens_per_second:.1f} tok/s" if found else turn.problem
    return f"{turn.load}: {turn.server} {said}"


def _prepare(models: Path, chosen: Sequence[Server], adapters: int) -> None:
    """What llama.cpp and OpenVINO read; each has a format of its own."""
    if any(server.name.startswith("llama.cpp") for server in chosen):
        command = [sys.executable, str(PROGRAMS / "to_gguf.py"), str(models), str(adapters)]
        subprocess.run(command, check=True)
    for server in chosen:
        if server.name.startswith("OpenVINO"):
            export_for_openvino(models, server.precision)


if __name__ == "__main__":
    sys.exit(main())
