"""The cost of the proof of effect at startup: seconds until `/readyz`, as ratios to "off"; medians.

    python benchmarks/readiness.py [FOLDER] [RUNS]

Starts `remora serve` on a folder (examples/tone by default) with each policy in turn, after one warm-up
start. "warn" measures in the background after the endpoint is ready, "refuse" before.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import httpx

RUNS = 5
EXAMPLE = Path(__file__).parents[1] / "examples" / "tone"
POLICIES = ("off", "warn", "refuse")
LONGEST_SECONDS = 300.0
POLL_SECONDS = 0.02


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else EXAMPLE
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else RUNS
    seconds_until_ready(folder, "off")
    times: dict[str, list[float]] = {policy: [] for policy in POLICIES}
    for _ in range(runs):
        for policy in POLICIES:
            times[policy].append(seconds_until_ready(folder, policy))
    medians = {policy: statistics.median(found) for policy, found in times.items()}
    for policy, seconds in medians.items():
        sys.stdout.write(
            f"proof {policy:<7} ready in {seconds:6.2f} s, ratio {seconds / medians['off']:.2f}\n"
        )


def seconds_until_ready(folder: Path, policy: str) -> float:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "remora", "serve", str(folder), "--port", port, "--no-auth"]
    started = time.perf_counter()
    environment = os.environ | {"REMORA_SERVE_PROOF": policy}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as server:
        try:
            return _wait(server, f"http://127.0.0.1:{port}/readyz", started)
        finally:
            server.terminate()


def _wait(server: subprocess.Popen[bytes], url: str, started: float) -> float:
    with httpx.Client(timeout=POLL_SECONDS * 50) as http:
        while server.poll() is None and time.perf_counter() - started < LONGEST_SECONDS:
            try:
                if http.get(url).is_success:
                    return time.perf_counter() - started
            except httpx.HTTPError:
                pass
            time.sleep(POLL_SECONDS)
    raise SystemExit("the endpoint did not become ready")


if __name__ == "__main__":
    main()
