"""Probes: asks a replica's port how it is, counts answers, and says started, ready or to be killed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from containerapps_emulator.apps.clock import Clock
from containerapps_emulator.apps.documents.template import Probe

ANSWER_SECONDS: Final = 0.5
EAGER_SECONDS: Final = 0.2
REFUSED: Final = "connection refused"

Check = Callable[[Probe], Awaitable[str | None]]
"""None: the probe succeeded; else what went wrong."""


class Probed(Protocol):
    def on_started(self) -> None:
        """The startup probe succeeded, or there is none."""

    def on_ready(self, ready: bool) -> None:
        """The readiness changed."""

    def on_probe_failed(self, probe: Probe, problem: str) -> None:
        """One failed attempt, of any kind."""


class Tally:
    """The successes and failures of one probe in a row, against its thresholds."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._successes = 0
        self._failures = 0

    def add(self, succeeded: bool) -> bool | None:
        """True: the success threshold is reached; False: the failure threshold; None: neither."""
        self._successes = self._successes + 1 if succeeded else 0
        self._failures = 0 if succeeded else self._failures + 1
        if self._successes >= self._probe.success_threshold:
            return True
        return False if self._failures >= self._probe.failure_threshold else None


async def watch(
    probes: Sequence[Probe], port: Probe | None, check: Check, clock: Clock, probed: Probed
) -> str:
    """Runs until a startup or liveness probe has failed for good, and returns why. Cancel to stop.

    Without a readiness probe the replica is ready once `port` has answered, or at once where that is None.
    A `port` that is a startup probe stands in for one that is not there, and must answer in its time.
    """
    by_kind = {probe.kind: probe for probe in probes}
    problem = None
    if startup := by_kind.get("Startup"):
        problem = await _until_started(startup, check, clock, probed)
    elif port is not None and port.kind == "Startup":
        problem = await _until_open(port, check, clock, port.failure_threshold)
    if problem is not None:
        return problem
    probed.on_started()
    if readiness := by_kind.get("Readiness"):
        reading = asyncio.create_task(_watch_readiness(readiness, check, clock, probed))
    else:
        reading = asyncio.create_task(_watch_port(port, check, clock, probed))
    living = asyncio.create_task(_watch_liveness(by_kind.get("Liveness"), check, clock, probed))
    try:
        await asyncio.wait({reading, living}, return_when=asyncio.FIRST_COMPLETED)
        if not living.done():
            await (
                reading
            )  # the port has answered, or this raises the reason why readiness is no longer watched
        return await living
    finally:
        reading.cancel()
        living.cancel()
        await asyncio.wait({reading, living})


async def _until_open(probe: Probe, check: Check, clock: Clock, attempts: float) -> str | None:
    """Tried often, so a failed attempt is nothing to report."""
    while (problem := await check(probe)) is not None:
        attempts -= 1
        if attempts <= 0:
            return f"port {probe.port} is not open: {problem}"
        await clock.sleep(probe.period_seconds)
    return None


async def _watch_port(probe: Probe | None, check: Check, clock: Clock, probed: Probed) -> None:
    if probe is not None:
        await _until_open(probe, check, clock, math.inf)
    probed.on_ready(True)


async def _until_started(probe: Probe, check: Check, clock: Clock, probed: Probed) -> str | None:
    tally = Tally(probe)
    await clock.sleep(probe.initial_delay_seconds)
    while True:
        problem = await _attempt(probe, check, probed)
        verdict = tally.add(problem is None)
        if verdict is not None:
            return None if verdict else problem
        await clock.sleep(probe.period_seconds)


async def _watch_readiness(probe: Probe, check: Check, clock: Clock, probed: Probed) -> None:
    tally = Tally(probe)
    await clock.sleep(probe.initial_delay_seconds)
    await _until_first_success(probe, check, clock, probed)
    succeeded = True
    while True:
        verdict = tally.add(succeeded)
        if verdict is not None:
            probed.on_ready(verdict)
        await clock.sleep(probe.period_seconds)
        succeeded = await _attempt(probe, check, probed) is None


async def _until_first_success(probe: Probe, check: Check, clock: Clock, probed: Probed) -> None:
    """Asked more often than its period, which would make every start that much longer; a failure is told once
    a period."""
    told_at = float("-inf")
    while (problem := await check(probe)) is not None:
        if clock.monotonic() - told_at >= probe.period_seconds:
            told_at = clock.monotonic()
            probed.on_probe_failed(probe, problem)
        await clock.sleep(min(EAGER_SECONDS, probe.period_seconds))


async def _watch_liveness(probe: Probe | None, check: Check, clock: Clock, probed: Probed) -> str:
    if probe is None:
        await asyncio.get_running_loop().create_future()
        raise AssertionError("a future that nobody completes")
    tally = Tally(probe)
    await clock.sleep(probe.initial_delay_seconds)
    while True:
        problem = await _attempt(probe, check, probed)
        if tally.add(problem is None) is False:
            return problem or ""
        await clock.sleep(probe.period_seconds)


async def _attempt(probe: Probe, check: Check, probed: Probed) -> str | None:
    problem = await check(probe)
    if problem is not None:
        probed.on_probe_failed(probe, problem)
    return problem


async def check_port(address: str, port: int, probe: Probe) -> str | None:
    """One attempt of a probe against a port."""
    try:
        if probe.path is None:
            await _connect(address, port, probe)
            return None
        status = await _http_status(address, port, probe)
    except TimeoutError:
        return f"no answer within {probe.timeout_seconds:g} s"
    except ConnectionRefusedError:
        return REFUSED
    except (OSError, ValueError) as error:
        return f"no HTTP answer ({type(error).__name__})"
    return None if 200 <= status < 400 else f"HTTP probe failed with statuscode: {status}"


async def _connect(address: str, port: int, probe: Probe) -> None:
    async with asyncio.timeout(probe.timeout_seconds):
        _, writer = await asyncio.open_connection(address, port)
    writer.close()


async def _http_status(address: str, port: int, probe: Probe) -> int:
    headers = {"host": f"{address}:{port}", "user-agent": "kube-probe/1.31", "accept": "*/*"}
    headers |= {name.lower(): value for name, value in probe.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    async with asyncio.timeout(probe.timeout_seconds):
        reader, writer = await asyncio.open_connection(address, port)
        try:
            writer.write(f"GET {probe.path} HTTP/1.1\r\n{lines}connection: close\r\n\r\n".encode())
            first = (await reader.readline()).split()
        except BaseException:
            writer.close()
            raise
    await _finish(reader, writer)
    if len(first) < 2:
        raise ValueError("not a status line")
    return int(first[1])


async def _finish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Let the app write its answer to the end, within reason: no broken pipe in its log."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            while await reader.read(64 * 1024):
                pass
    except (TimeoutError, OSError):
        pass
    finally:
        writer.close()
