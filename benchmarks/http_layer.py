"""The cost of the HTTP layer: tokens per second of many streams, and the latency added to one request.

The echo engine produces 1,000 tokens per second for each of 64 streams. In the same run and with the same
client, a minimal FastAPI stream of the same events is measured: it yields them from a list at the same pace
and computes nothing. A second pair of figures runs both at full speed. Then sequential requests are compared
with direct calls of the engine. Prints ratios, and the CPU time per event, which does not depend on other
load.

If REMORA_VLLM_PYTHON names the Python of an installed vLLM, its front end is measured too, over an equally
trivial engine (`serving/programs/vllm_front_end.py`).

    python benchmarks/http_layer.py [--streams 64] [--tokens 2000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from remora.adapters.registry import AdapterRegistry
from remora.engine.base import GenerationRequest, SamplingParams
from remora.engine.echo import EchoEngine
from remora.project.api_keys import ApiKey
from remora.server.app import admission_of, create_app, key_ring
from remora.server.listening import DrainingServer, bind
from remora.server.settings import ServerSettings

KEY = "a-key"
HEADERS = f"authorization: Bearer {KEY}\r\ncontent-type: application/json\r\n"
PACE = 1000
GOAL_RATIO, GOAL_VLLM_RATIO, GOAL_LATENCY_MS = 0.5, 1.5, 2.0
VLLM_PYTHON = "REMORA_VLLM_PYTHON"
VLLM_PROGRAM = Path(__file__).parent / "serving" / "programs" / "vllm_front_end.py"
MODEL = Path(__file__).parents[1] / "examples" / "tone" / "base"
LEAST, VLLM = "least FastAPI stream", "vLLM's front end"
END = b"data: [DONE]\n\n"


def main() -> int:
    options = _options()
    prompt = "x" * options.tokens
    with Served(_serve_ours, PACE) as ours, Served(_serve_ours, 0) as fast:
        events = asyncio.run(capture(ours.address, prompt))
        with Served(_serve_least, events, PACE) as least, Served(_serve_least, events, 0) as fast_least:
            paced = _compare(f"at {PACE:,} tokens/s each", ours, LEAST, least, options)
            rows = [paced, _compare("as fast as they can", fast, LEAST, fast_least, options)]
        if python := os.environ.get(VLLM_PYTHON):
            with VllmFrontEnd(python, options.tokens) as vllm:
                rows.append(_compare("as fast as they can", fast, VLLM, vllm, options))
        latencies_ms = asyncio.run(latencies(fast.address, options.requests))
    direct_ms = asyncio.run(direct_latency(options.requests))
    added_ms = statistics.median(latencies_ms) - direct_ms
    print(f"{options.streams} streams of {options.tokens} tokens, median of {options.rounds} rounds")
    for row in rows:
        row.show()
    print(f"one request of 8 tokens, not streamed, {options.requests} times")
    print(f"    {'added latency, median':<22}{added_ms:>10.2f} ms")
    if VLLM_PYTHON not in os.environ:
        print(f"set {VLLM_PYTHON} to the Python of an installed vLLM to compare with its front end")
    print(f"goals: ratios at least {GOAL_RATIO} and {GOAL_VLLM_RATIO}, latency under {GOAL_LATENCY_MS} ms")
    return 0 if all(row.is_met for row in rows) and added_ms < GOAL_LATENCY_MS else 1


@dataclass(frozen=True, slots=True)
class Measure:
    """Events per second, and the server's CPU time per event in microseconds."""

    rate: float
    cpu_us: float


@dataclass(frozen=True, slots=True)
class Row:
    """Medians of several rounds next to a peer's; the ratio is the median of each round's ratio."""

    name: str
    ours: Measure
    peer: str
    theirs: Measure
    ratio: float

    @property
    def is_met(self) -> bool:
        return self.ratio >= (GOAL_VLLM_RATIO if self.peer == VLLM else GOAL_RATIO)

    def show(self) -> None:
        print(f"  {self.name}")
        for who, measure in (("Remora", self.ours), (self.peer, self.theirs)):
            print(f"    {who:<22}{measure.rate:>10,.0f} events/s  {measure.cpu_us:>6.1f} us of CPU each")
        print(f"    {'ratio':<22}{self.ratio:>10.2f}")


class Peer(Protocol):
    """A server in its own process."""

    @property
    def address(self) -> tuple[str, int]:
        """The address of the server."""

    def cpu_seconds(self) -> float:
        """CPU time of the server so far."""


def _compare(name: str, ours: Peer, peer: str, theirs: Peer, options: argparse.Namespace) -> Row:
    rounds = [(_measure(ours, options), _measure(theirs, options)) for _ in range(options.rounds)]
    mine, others = ([pair[side] for pair in rounds] for side in (0, 1))
    ratio = statistics.median(first.rate / second.rate for first, second in rounds)
    return Row(name, _median(mine), peer, _median(others), ratio)


def _measure(server: Peer, options: argparse.Namespace) -> Measure:
    before = server.cpu_seconds()
    events, seconds = asyncio.run(stream_all(server.address, "x" * options.tokens, options.streams))
    return Measure(events / seconds, (server.cpu_seconds() - before) / events * 1e6)


def _median(measures: list[Measure]) -> Measure:
    return Measure(
        statistics.median(measure.rate for measure in measures),
        statistics.median(measure.cpu_us for measure in measures),
    )


class Served:
    """A server in its own process, so that it does not share an event loop with the client."""

    def __init__(self, serve: Callable[..., None], *arguments: object) -> None:
        self._listener = bind("127.0.0.1", 0)
        self.address: tuple[str, int] = self._listener.getsockname()
        self._process = multiprocessing.get_context("fork").Process(
            target=serve, args=(self._listener, *arguments), daemon=True
        )

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def cpu_seconds(self) -> float:
        return _cpu_seconds(self._process.pid)

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()
        self._listener.close()


class VllmFrontEnd:
    """vLLM's front end in its own environment, with the example's model and a context for these answers."""

    def __init__(self, python: str, tokens: int) -> None:
        self.address = ("127.0.0.1", 0)
        self._python = python
        self._tokens = tokens

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()
        model = Path(self._folder.name) / "model"
        shutil.copytree(MODEL, model, ignore=shutil.ignore_patterns("*.safetensors"))
        config = json.loads((model / "config.json").read_text())
        (model / "config.json").write_text(
            json.dumps({**config, "max_position_embeddings": 4 * self._tokens})
        )
        command = [self._python, str(VLLM_PROGRAM), str(model)]
        quiet = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_CPU_KVCACHE_SPACE": "1", "PYTHONPATH": ""}
        self._process = subprocess.Popen(
            command, env={**os.environ, **quiet}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        port = next((line for line in self._process.stdout if line.strip().isdigit()), "")
        if not port:
            sys.exit(f"vLLM's front end did not start; see: {' '.join(command)}")
        self.address = ("127.0.0.1", int(port))
        return self

    def cpu_seconds(self) -> float:
        return _cpu_seconds(self._process.pid)

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()


def _cpu_seconds(pid: int | None) -> float:
    """The CPU time of a process, from /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _serve_ours(listener: socket.socket, pace: int) -> None:
    """Serve with `pace` tokens per second per stream; 0 means full speed."""
    settings = ServerSettings(
        api_keys=(ApiKey("bench", KEY),),
        chat_page=False,
        max_open_requests=4096,
        log_requests=False,
        graceful_shutdown_seconds=0,
    )
    engine = EchoEngine(context_length=100_000, tokens_per_second=pace or None)
    admission = admission_of(settings, key_ring(settings))
    app = create_app(engine, AdapterRegistry("base", ()), settings, admission=admission)
    server = DrainingServer(app, admission, settings, "ready", lambda _: None)
    with server.runner() as runner:
        runner.run(server.serve(sockets=[listener]))


def _serve_least(listener: socket.socket, events: list[bytes], pace: int) -> None:
    app = FastAPI()

    async def stream() -> AsyncIterator[bytes]:
        started_at = time.monotonic()
        for count, event in enumerate(events):
            early_seconds = started_at + count / pace - time.monotonic() if pace else 0.0
            if early_seconds > 0 or not pace:  # as the echo engine waits
                await asyncio.sleep(early_seconds)
            yield event

    @app.post("/v1/completions")
    async def create() -> StreamingResponse:
        return StreamingResponse(stream(), media_type="text/event-stream")

    config = uvicorn.Config(app, log_level="error", access_log=False)
    server = uvicorn.Server(config)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(server.serve(sockets=[listener]))


def _request(prompt: str, tokens: int, *, stream: bool) -> bytes:
    body = json.dumps({"model": "base", "prompt": prompt, "max_tokens": tokens, "stream": stream}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nhost: x\r\n{HEADERS}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def capture(address: tuple[str, int], prompt: str) -> list[bytes]:
    """The events of one real stream, unchanged."""
    reader, writer = await _connect(address)
    writer.write(_request(prompt, len(prompt), stream=True))
    text = (await reader.readuntil(END)).partition(b"\r\n\r\n")[2]
    writer.close()
    return [part[part.find(b"data: ") :] + b"\n\n" for part in text.split(b"\n\n") if b"data: " in part]


async def stream_all(address: tuple[str, int], prompt: str, streams: int) -> tuple[int, float]:
    """The number of events of all streams, and the seconds from the first request to the last event."""
    request = _request(prompt, len(prompt), stream=True)
    started = time.perf_counter()
    counts = await asyncio.gather(*(_count_events(address, request) for _ in range(streams)))
    return sum(counts), time.perf_counter() - started


async def _count_events(address: tuple[str, int], request: bytes) -> int:
    reader, writer = await _connect(address)
    writer.write(request)
    count, tail = 0, b""
    while data := await reader.read(1 << 18):
        count += data.count(b"data: ")
        tail = (tail + data)[-64:]
        if END in tail:
            break
    writer.close()
    return count


async def latencies(address: tuple[str, int], count: int) -> list[float]:
    """Milliseconds of each of `count` sequential requests on one connection."""
    reader, writer = await _connect(address)
    request, taken = _request("12345678", 8, stream=False), []
    for _ in range(count):
        started = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        taken.append((time.perf_counter() - started) * 1000)
    writer.close()
    return taken[count // 10 :]


async def direct_latency(count: int) -> float:
    """Median milliseconds of the same request to the engine, without HTTP."""
    engine = EchoEngine()
    prompt_ids, taken = tuple(engine.tokenizer.encode("12345678")), []
    for number in range(count):
        request = GenerationRequest(str(number), prompt_ids, SamplingParams(max_tokens=8))
        started = time.perf_counter()
        async for _ in engine.submit(request):
            pass
        taken.append((time.perf_counter() - started) * 1000)
    return statistics.median(taken)


async def _connect(address: tuple[str, int]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(*address, limit=1 << 24)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=500)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
