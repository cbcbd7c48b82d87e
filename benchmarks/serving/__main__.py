"""Many adapters on one machine: every server is asked the same over HTTP, in turns. Prints ratios.

    python -m benchmarks.serving [--servers PART …] [--loads 8x16 …] [--rounds 3] [--write docs] [--tiny]

A load `8x16` is 8 adapters and 16 requests at once; `0x1` is the base model, one request. All servers of one
number of adapters are started together, and all but the one that is measured are frozen meanwhile, so that
rounds can alternate without starting anything anew. Takes about an hour with every peer.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.serving import machine, report
from benchmarks.serving.measure import Measurement, measure
from benchmarks.serving.model import SHAPE, TINY, make_models
from benchmarks.serving.process import Running, started
from benchmarks.serving.servers import PROGRAMS, Server, export_for_openvino, servers
from benchmarks.serving.workload import Load, asks

LOADS = ("0x1", "0x4", "0x16", "0x64", "1x1", "1x16", "8x1", "8x4", "8x16", "8x64", "32x16")
WARM_UP_SEED = 999
WARM_UP_REQUESTS = 2


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--servers", nargs="*", default=[], help="parts of names; all where none is given")
    parser.add_argument("--loads", nargs="*", default=list(LOADS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--write",
        type=Path,
        help="folder for table and plot (needs matplotlib)",
    )
    parser.add_argument("--folder", type=Path, default=Path(".bench"), help="where models are kept")
    parser.add_argument("--tiny", action="store_true", help="a toy model, to try the harness itself")
    options = parser.parse_args()
    loads = [Load(*map(int, load.split("x"))) for load in options.loads]
    folder = options.folder.resolve()
    models = make_models(folder, max(load.adapters for load in loads), tiny=options.tiny)
    chosen = [
        server
        for server in servers()
        if not options.servers or any(part.lower() in server.name.lower() for part in options.servers)
    ]
    _prepare(models, chosen, max(load.adapters for load in loads))
    vocab_size = int(str((TINY if options.tiny else SHAPE)["vocab_size"]))
    results = report.Results(machine.describe(models))
    for adapters in sorted({load.adapters for load in loads}):
        own = [load for load in loads if load.adapters == adapters]
        _compare(chosen, models, own, options.rounds, vocab_size, results)
    sys.stdout.write(report.text(results))
    if options.write:
        report.write(results, options.write)
    return 0


def _compare(  # noqa: PLR0917 - called once
    chosen: Sequence[Server],
    models: Path,
    loads: Sequence[Load],
    rounds: int,
    vocab_size: int,
    results: report.Results,
) -> None:
    """All loads with one number of adapters, on all servers, in alternating rounds."""
    adapters = loads[0].adapters
    with ExitStack() as stack:
        running: list[tuple[Server, Running]] = []
        for server in chosen:
            try:
                process = stack.enter_context(started(server, models, adapters))
                warm_up = asks(Load(adapters, WARM_UP_REQUESTS), vocab_size=vocab_size, seed=WARM_UP_SEED)
                measure(server, process.port, warm_up)
            except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                results.note(f"{server.name} with {adapters} adapters: {error}")
                continue
            process.freeze()
            running.append((server, process))
        measured: dict[tuple[str, Load], list[Measurement]] = defaultdict(list)
        for turn in range(rounds):
            for load in loads:
                for server, process in running if turn % 2 == 0 else running[::-1]:
                    with _awake(process):
                        one = measure(server, process.port, asks(load, vocab_size=vocab_size, seed=turn))
                    measured[server.name, load].append(one)
                    line = f"{load}: {server.name} {one.tokens_per_second:.1f} tok/s"
                    print(line, file=sys.stderr, flush=True)
        for server, process in running:
            for load in loads:
                results.add(server, load, measured[server.name, load], process.peak_memory_mib())


@contextmanager
def _awake(process: Running) -> Iterator[None]:
    process.thaw()
    try:
        yield
    finally:
        process.freeze()


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
