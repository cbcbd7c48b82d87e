"""How many requests one replica answers a second: a model from three measured loads, and its error on others.

    python -m benchmarks.serving.capacity [--adapters 8] [--quantize none] [--folder FOLDER] [--tiny]
                                          [--write docs/capacity.jsonl]

A step of the engine makes one token for each of N running requests and takes `step + N * row` seconds. A
token of a prompt takes `prompt` seconds, in which no other token is made. So N clients that ask one request
after the other get their answers every `N * p * prompt + t * (step + N * row)` seconds, with p tokens in and
t out. `--write` adds the result to those that `capacity_page` makes a page from.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from benchmarks.serving import machine
from benchmarks.serving.measure import REQUEST_TIMEOUT_SECONDS
from benchmarks.serving.model import SHAPE, TINY, make_models
from benchmarks.serving.process import started
from benchmarks.serving.servers import Server, remora_server
from benchmarks.serving.workload import Ask

SECONDS = 25.0
_loads = itertools.count()  # one that is measured again has other prompts, too


@dataclass(frozen=True, slots=True)
class Work:
    """N clients, each asking one request after the other: tokens in and out of each."""

    clients: int
    prompt_tokens: int
    answer_tokens: int

    def __str__(self) -> str:
        return f"{self.clients} clients, {self.prompt_tokens} tokens in, {self.answer_tokens} out"


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds: of a step, of each request in it, of a prompt's token."""

    step: float
    row: float
    prompt: float

    def requests_per_second(self, work: Work) -> float:
        """What N clients get together."""
        return work.clients / float(np.dot(_parts(work), (self.step, self.row, self.prompt)))


@dataclass(frozen=True, slots=True)
class Capacity:
    """What was measured on a machine: its costs, and requests per second of loads that did not make them."""

    processor: str
    cores: int
    quantize: str
    adapters: int
    costs: Costs
    checks: Sequence[tuple[Work, float]]


CALIBRATION = (Work(1, 64, 64), Work(16, 64, 64), Work(1, 768, 8))
CHECKS = (Work(4, 128, 64), Work(8, 256, 32), Work(16, 32, 128), Work(16, 256, 64))


def costs_of(measured: Sequence[tuple[Work, float]]) -> Costs:
    """The costs that explain these requests per second best: least squares over the shares of a round."""
    seconds = np.array([work.clients / rate for work, rate in measured])
    parts = np.array([_parts(work) for work, _ in measured]) / seconds[:, None]
    found, *_ = np.linalg.lstsq(parts, np.ones(len(seconds)), rcond=None)
    return Costs(*(max(float(cost), 0.0) for cost in found))


def _parts(work: Work) -> tuple[int, int, int]:
    """How often each cost comes in a round of all clients."""
    tokens = work.answer_tokens
    return tokens, tokens * work.clients, work.prompt_tokens * work.clients


def main() -> int:
    options = _options()
    models = make_models(options.folder.resolve(), options.adapters, tiny=options.tiny)
    words = int(str((TINY if options.tiny else SHAPE)["vocab_size"]))

    server = replace(
        remora_server("Remora", options.quantize, "--quantize", options.quantize),
        environment={"REMORA_SERVE_SPECULATION": "off"},  # what it saves depends on the texts
    )
    machine_name = machine.describe(models).processor
    with started(server, models, options.adapters) as running:
        for _ in range(2):  # the first one warms up
            measured = [(work, _rate(server, running.port, work, words, options)) for work in CALIBRATION]
        costs = costs_of(measured)
        row, prompt = f"{costs.row * 1e3:.2f} ms for each request in it", f"{costs.prompt * 1e3:.2f} ms"
        sys.stdout.write(f"{machine_name}: a step {costs.step * 1e3:.1f} ms, {row}, ")
        sys.stdout.write(f"a token of a prompt {prompt}\n")
        checks = []
        for work in CHECKS:
            said = costs.requests_per_second(work)
            rate = _rate(server, running.port, work, words, options)
            error = f"{said / rate - 1:+.0%}"
            sys.stdout.write(f"{work}: {rate:.2f} requests/s, predicted {said:.2f} ({error})\n")
            checks.append((work, rate))
    if options.write:
        _keep(
            options,
            Capacity(machine_name, os.cpu_count() or 1, options.quantize, options.adapters, costs, checks),
        )
    return 0


def _rate(server: Server, port: int, work: Work, words: int, options: argparse.Namespace) -> float:
    """Requests per second of clients that ask for `--seconds`; prompts differ, so that no cache helps."""
    numbers = random.Random(f"{work} {next(_loads)}")  # noqa: S311 - a workload, no secret

    def asks(client: int) -> tuple[str, dict[str, Any]]:
        ids = tuple(numbers.randrange(10, words - 10) for _ in range(work.prompt_tokens))
        adapter = client % options.adapters if options.adapters else None
        return server.request(Ask(ids, adapter, work.answer_tokens))

    return asyncio.run(_measured(f"http://127.0.0.1:{port}", work.clients, asks, options.seconds))


async def _measured(
    address: str, clients: int, asks: Callable[[int], tuple[str, dict[str, Any]]], least_seconds: float
) -> float:
    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(base_url=address, timeout=REQUEST_TIMEOUT_SECONDS, limits=limits) as http:
        begun = time.perf_counter()

        async def client(number: int) -> int:
            count = 0
            while time.perf_counter() - begun < least_seconds:
                path, body = asks(number)
                answer = await http.post(path, json=body)
                answer.raise_for_status()
                count += 1
            return count

        answered = sum(await asyncio.gather(*(client(number) for number in range(clients))))
        return answered / (time.perf_counter() - begun)


def _keep(options: argparse.Namespace, capacity: Capacity) -> None:
    with options.write.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(capacity)) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--adapters", type=int, default=8)
    parser.add_argument("--quantize", default="none")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each load")
    parser.add_argument("--folder", type=Path, default=Path(".bench"), help="where models are kept")
    parser.add_argument("--write", type=Path, help="the file of kept results")
    parser.add_argument("--tiny", action="store_true", help="a toy model, to try the program itself")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
