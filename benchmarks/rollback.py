"""The time until a rollback takes effect, and the time of a golden check of 20 prompts of 16 tokens; medians.

    python benchmarks/rollback.py [RUNS]

Deploys examples/tone twice (two releases) to its own local cloud, then rolls back and forth. The time of a
rollback runs from the start of the command to the end of the first answer after it. Limits: 2 s and 3 s.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from remora.azure.app.apps import API_KEY_SECRET
from remora.cli.context import open_deployment
from remora.cli.output.console import Output
from remora.project.settings import SETTINGS_FILE, changed_settings
from remora.rollout.endpoint import Endpoint
from remora.rollout.golden.check import check_golden
from remora.rollout.golden.prompts import Golden, GoldenPrompt
from remora.rollout.revision.candidate import RELEASE_VARIABLE, look

RUNS = 5
EXAMPLE = Path(__file__).parents[1] / "examples" / "tone"
PROMPTS, TOKENS = 20, 16


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"REMORA_HOME": f"{folder}/home", "REMORA_OUTPUT": "human"}
        project = Path(folder) / "tone"
        shutil.copytree(EXAMPLE, project)
        try:
            measure(project, runs)
        finally:
            remora("cloud", "stop")


def measure(project: Path, runs: int) -> None:
    remora("up", str(project), "--yes")
    (project / SETTINGS_FILE).write_text(
        changed_settings(project, {"serve.max_queued_requests": 65}), encoding="utf-8"
    )
    remora("deploy", str(project))
    deployment = open_deployment(project, Output())
    key = deployment.app.secrets()[API_KEY_SECRET]
    with Endpoint(deployment.url(), key) as endpoint:
        rollbacks = [seconds_of_rollback(project, endpoint) for _ in range(runs)]
        golden_checks = [seconds_of_check(endpoint) for _ in range(runs)]
    print(f"rollback to effect   {statistics.median(rollbacks):6.2f} s   (bound 2)")
    print(f"golden check         {statistics.median(golden_checks):6.2f} s   (bound 3)")


def seconds_of_rollback(project: Path, endpoint: Endpoint) -> float:
    app = open_deployment(project, Output()).app
    before = look(app)
    other = next(one for one in before.revisions if one.active and one.name != before.serving)
    started = time.perf_counter()
    remora("rollback", other.environment[RELEASE_VARIABLE], "-C", str(project))
    endpoint.chat("tone", [{"role": "user", "content": "Hooray"}], max_tokens=2)
    seconds = time.perf_counter() - started
    if look(app).serving != other.name:
        raise SystemExit(f"{other.name} does not serve")
    return seconds


def seconds_of_check(endpoint: Endpoint) -> float:
    """Seconds of one check of 20 prompts of 16 tokens."""
    users = [f"Tell me a long story about number {number}" for number in range(PROMPTS)]
    golden = Golden(tuple(GoldenPrompt("tone-base", user, "", TOKENS) for user in users))
    started = time.perf_counter()
    check_golden(endpoint, golden)
    return time.perf_counter() - started


def remora(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "remora", *arguments], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
