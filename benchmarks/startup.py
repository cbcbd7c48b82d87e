"""The cost of `remora --help`, as a ratio to `python -c pass`; medians of alternating runs.

    python benchmarks/startup.py [RUNS]

Other tools by the same measure, November 2026: az 2.5, hf 11, modal 12.5, dstack 27. The limit is 5.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 21
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "remora --help": [str(Path(sys.executable).with_name("remora")), "--help"],
}


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(runs + 1):
        for name, command in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            times[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(measured[1:]) for name, measured in times.items()}
    for name, median in medians.items():
        print(f"{name:<16} {median * 1000:7.1f} ms")
    print(f"ratio            {medians['remora --help'] / medians['python -c pass']:7.2f}")


if __name__ == "__main__":
    main()
