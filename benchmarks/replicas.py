"""Several replicas under load, one killed again and again: failed requests, and seconds to first tokens.

    python benchmarks/replicas.py [MINUTES] [REPLICAS]

Deploys a copy of examples/tone to a local cloud of its own, with REPLICAS (3) that stay. Clients are
openai-python with its own two retries: some wait for whole answers, some read a stream. A replica is killed
every minute, all its processes at once, as when a machine is lost. Prints what failed by kind of client.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai

EXAMPLE = Path(__file__).parents[1] / "examples" / "tone"
MODELS = ("tone-base", "tone")
PROMPT = "I finally got the job I wanted"
WHOLE_CLIENTS, STREAM_CLIENTS = 4, 2
KILL_SECONDS = 60.0
ANSWER_TOKENS = 24


@dataclass
class Results:
    """By kind of client; `failed` are the errors that a client saw after its own retries."""

    answered: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[str, str]] = field(default_factory=list)
    first_token_seconds: list[float] = field(default_factory=list)


def main() -> None:
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    replicas = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"REMORA_HOME": f"{folder}/home", "REMORA_OUTPUT": "json"}
        environment |= {
            "REMORA_SCALE_MIN_REPLICAS": str(replicas),
            "REMORA_SCALE_MAX_REPLICAS": str(replicas),
        }
        project = shutil.copytree(EXAMPLE, Path(folder) / "tone")
        _allow(environment, project, replicas)
        try:
            _remora(environment, "up", str(project), "--yes")
            key = _remora(environment, "secrets", str(project))["api_key"]
            url = _remora(environment, "status", str(project))["endpoint"]
            _report(_run(url, key, Path(folder) / "home", minutes), replicas)
        finally:
            _remora(environment, "cloud", "stop")


def _allow(environment: dict[str, str], project: Path, replicas: int) -> None:
    """Let the template have so many instances."""
    _remora(environment, "init", str(project), "--force")
    path = project / "infra" / "provision" / "inference.parameters.json"
    document = json.loads(path.read_text())
    document["parameters"]["maximumInstanceCount"] = {"value": replicas}
    path.write_text(json.dumps(document))


def _remora(environment: dict[str, str], *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "remora", *arguments]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    document: dict[str, Any] = json.loads(done.stdout) if done.stdout.lstrip().startswith("{") else {}
    return document


def _run(url: str, key: str, home: Path, minutes: float) -> Results:
    results, end = Results(), time.monotonic() + minutes * 60
    kinds = ["whole"] * WHOLE_CLIENTS + ["stream"] * STREAM_CLIENTS
    threads = [threading.Thread(target=_ask, args=(kind, url, key, end, results)) for kind in kinds]
    for thread in threads:
        thread.start()
    kills = 0
    while (now := time.monotonic()) < end:
        time.sleep(min(KILL_SECONDS, end - now))
        if time.monotonic() < end:
            _kill_one(home, kills)
            kills += 1
    for thread in threads:
        thread.join()
    return results


def _ask(kind: str, url: str, key: str, end: float, results: Results) -> None:
    client, turn = openai.OpenAI(base_url=url, api_key=key), 0
    while time.monotonic() < end:
        turn += 1
        asked: dict[str, Any] = {
            "model": MODELS[turn % len(MODELS)],
            "messages": [{"role": "user", "content": PROMPT}],
            "max_tokens": ANSWER_TOKENS,
        }
        try:
            if kind == "whole":
                client.chat.completions.create(**asked)
            else:
                started = time.monotonic()
                for index, _ in enumerate(client.chat.completions.create(**asked, stream=True)):
                    if not index:
                        results.first_token_seconds.append(time.monotonic() - started)
            results.answered[kind] += 1
        except Exception as error:
            results.failed.append((kind, f"{type(error).__name__}: {error}"[:200]))


def _kill_one(home: Path, turn: int) -> None:
    """End every process of one replica of this cloud, another one each time."""
    by_replica: dict[str, list[int]] = {}
    for process in Path("/proc").iterdir():
        try:
            variables = (process / "environ").read_bytes().split(b"\0") if process.name.isdecimal() else []
        except OSError:  # it has ended, or is somebody else's
            continue
        found = dict(item.decode(errors="replace").partition("=")[::2] for item in variables)
        if (name := found.get("CONTAINER_APP_REPLICA_NAME")) and str(home) in str(found):
            by_replica.setdefault(name, []).append(int(process.name))
    name = sorted(by_replica)[turn % len(by_replica)]
    sys.stderr.write(f"killing {name} of {len(by_replica)}\n")
    for pid in by_replica[name]:
        os.kill(pid, signal.SIGKILL)


def _report(results: Results, replicas: int) -> None:
    for kind in ("whole", "stream"):
        failed = [text for of_kind, text in results.failed if of_kind == kind]
        sys.stdout.write(f"{kind:<7} {results.answered[kind]} answered, {len(failed)} failed\n")
        for text, count in Counter(failed).items():
            sys.stdout.write(f"        {count} x {text}\n")
    seconds = results.first_token_seconds
    median, p95 = statistics.median(seconds), statistics.quantiles(seconds, n=20)[-1]
    sys.stdout.write(f"first token of {replicas} replicas: median {median:.2f} s, p95 {p95:.2f} s\n")


if __name__ == "__main__":
    main()
