"""Loading an adapter under load: the seconds to its first token, and the effect on other streams.

    python -m benchmarks.hot_load [--rounds 5] [--folder .bench] [--tiny]

The model is that of `benchmarks.serving`. Sixteen streams over eight adapters run without a pause. Meanwhile
a ninth adapter is loaded through the endpoint's own route, asked for one token, and unloaded again. Prints
the median and the worst of: load to first token, the longest gap in a stream meanwhile, and the longest gap
in an equally long time before. Then prints the server's memory, next to the size of its weights.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import httpx
from benchmarks.serving.model import CONTEXT_TOKENS, make_models
from benchmarks.serving.process import Running, started
from benchmarks.serving.servers import Server, openai_request, openai_tokens, remora_command

STREAMS, ADAPTERS = 16, 8
NEW = ADAPTERS  # the number of the adapter that is loaded
PROMPT_TOKENS = 64
SETTLING_SECONDS = 4.0
BEFORE_SECONDS = 2.0


@dataclass(slots=True)
class Gaps:
    """The times of each stream's tokens, to find the longest pause within a period."""

    times: dict[int, list[float]] = field(default_factory=dict)

    def longest(self, begun: float, ended: float) -> float:
        """The longest time between two tokens of one stream that overlaps this period."""
        pairs = [
            (first, second)
            for times in self.times.values()
            for first, second in pairwise(times)
            if second > begun and first < ended
        ]
        return max((second - first for first, second in pairs), default=0.0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path(".bench"))
    parser.add_argument("--tiny", action="store_true", help="a toy model, to try the program itself")
    options = parser.parse_args()
    models = make_models(options.folder.resolve(), ADAPTERS + 1, tiny=options.tiny)
    admin_key = secrets.token_urlsafe()
    with _endpoint(models, admin_key) as process:
        idle_mib = process.memory_mib()
        found = asyncio.run(_rounds(process.port, admin_key, options.rounds))
        for name, seconds in found.items():
            median, worst = statistics.median(seconds) * 1e3, max(seconds) * 1e3
            print(f"{name:<44} median {median:7.0f} ms, worst {worst:7.0f} ms")
        weights = (models / "base" / "model.safetensors").stat().st_size / 2**20
        print(f"resident when ready {idle_mib:.0f} MiB, at its peak {process.peak_memory_mib():.0f} MiB;")
        print(f"weights {weights:.0f} MiB: {idle_mib - weights:.0f} MiB beyond them when ready")


@contextmanager
def _endpoint(models: Path, admin_key: str) -> Iterator[Running]:
    server = Server(
        "Remora",
        "bf16",
        remora_command,
        openai_request("base"),
        openai_tokens,
        ready_path="/readyz",
        environment={"REMORA_ADMIN_KEY": admin_key, "REMORA_SERVE_PROOF": "off"},
    )
    with started(server, models, ADAPTERS) as process:
        yield process


async def _rounds(port: int, admin_key: str, rounds: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {
        "load to first token": [],
        "longest gap of a stream meanwhile": [],
        "longest gap of a stream before": [],
    }
    gaps = Gaps()
    headers = {"Authorization": f"Bearer {admin_key}"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=120, headers=headers) as http:
        streams = [asyncio.create_task(_stream(http, number, gaps)) for number in range(STREAMS)]
        await asyncio.sleep(SETTLING_SECONDS)
        for _ in range(rounds):
            await asyncio.sleep(BEFORE_SECONDS)
            begun = time.perf_counter()
            await _load(http)
            ended = time.perf_counter()
            await asyncio.sleep(BEFORE_SECONDS)
            found["load to first token"].append(ended - begun)
            found["longest gap of a stream meanwhile"].append(gaps.longest(begun, ended))
            found["longest gap of a stream before"].append(gaps.longest(begun - (ended - begun), begun))
            answer = await http.post("/v1/unload_lora_adapter", json={"lora_name": f"a{NEW}"})
            answer.raise_for_status()
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
    return found


async def _load(http: httpx.AsyncClient) -> None:
    """Load the new adapter and read its first token."""
    path = f"adapters/a{NEW}"
    answer = await http.post("/v1/load_lora_adapter", json={"lora_name": f"a{NEW}", "lora_path": path})
    answer.raise_for_status()
    body = {"model": f"a{NEW}", "prompt": _prompt(NEW), "max_tokens": 1, "temperature": 0}
    (await http.post("/v1/completions", json=body)).raise_for_status()


async def _stream(http: httpx.AsyncClient, number: int, gaps: Gaps) -> None:
    """Stream one answer after another; the time between two answers does not count as a gap."""
    turn = 0
    while True:
        times = gaps.times.setdefault(number + STREAMS * turn, [])
        turn += 1
        body = {
            "model": f"a{number % ADAPTERS}",
            "prompt": _prompt(number + 100 * turn),
            "max_tokens": CONTEXT_TOKENS - PROMPT_TOKENS - 1,
            "temperature": 0,
            "stream": True,
        }
        async with http.stream("POST", "/v1/completions", json=body) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data: {"):
                    times.append(time.perf_counter())


def _prompt(seed: int) -> Sequence[int]:
    return [10 + (seed * 7919 + index * 104729) % 4000 for index in range(PROMPT_TOKENS)]


if __name__ == "__main__":
    main()
