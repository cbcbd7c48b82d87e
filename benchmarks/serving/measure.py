"""How a server is measured: all requests of a load at once over HTTP, streamed. Owns clocks and counts."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import httpx
from benchmarks.serving.servers import Server
from benchmarks.serving.workload import Ask

REQUEST_TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Measurement:
    """One load, once. Tokens a second are of all answers over the whole time, prefill included."""

    tokens: int
    seconds: float
    first_token_seconds: tuple[float, ...]

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds

    @property
    def decode_tokens_per_second(self) -> float:
        """Of what came after the first tokens."""
        tokens = self.tokens - len(self.first_token_seconds)
        return tokens / max(self.seconds - self.first_p50_seconds, 1e-9)

    @property
    def first_p50_seconds(self) -> float:
        return statistics.median(self.first_token_seconds)

    @property
    def first_p95_seconds(self) -> float:
        ordered = sorted(self.first_token_seconds)
        return ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]


def measure(server: Server, port: int, requests: Sequence[Ask]) -> Measurement:
    """Send all requests at once and read them to the end. Raises RuntimeError where an answer is short."""
    return asyncio.run(_measure(server, port, requests))


async def _measure(server: Server, port: int, requests: Sequence[Ask]) -> Measurement:
    limits = httpx.Limits(max_connections=len(requests))
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", timeout=REQUEST_TIMEOUT_SECONDS, limits=limits
    ) as client:
        begun = time.perf_counter()
        firsts = await asyncio.gather(*(_ask(client, server, request, begun) for request in requests))
        seconds = time.perf_counter() - begun
    return Measurement(sum(request.max_tokens for request in requests), seconds, tuple(firsts))


async def _ask(client: httpx.AsyncClient, server: Server, request: Ask, begun: float) -> float:
    """Seconds to the first token."""
    path, body = server.request(request)
    first: float | None = None
    tokens = 0
    async with client.stream("POST", path, json=body, headers=server.headers) as answer:
        if answer.status_code != 200:
            raise RuntimeError(f"{server.name}: {answer.status_code} {(await answer.aread())[:300]!r}")
        async for line in answer.aiter_lines():
            if not line.startswith("data: ") or line == "data: [DONE]":
                continue
            count = server.tokens_in(json.loads(line[6:]))
            if count and first is None:
                first = time.perf_counter() - begun
            tokens += count
    if first is None or tokens < request.max_tokens * 0.9:  # several tokens may share a chunk
        raise RuntimeError(f"{server.name} answered {tokens} of {request.max_tokens} tokens")
    return first
