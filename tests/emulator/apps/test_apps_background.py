"""Work that nobody waits for: an error that nobody expected is in the log, and what hangs on it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.emulator.apps.cloud import DEADLINE_SECONDS, Cloud, FastClock, until

from containerapps_emulator import listeners
from containerapps_emulator.apps.capacity.pools import Capacity
from containerapps_emulator.apps.documents.scale import ScalePlan
from containerapps_emulator.apps.documents.template import Probe
from containerapps_emulator.apps.ingress.exchange import Failure
from containerapps_emulator.apps.ingress.listener import Ingress, _Server
from containerapps_emulator.apps.replicas import isolation
from containerapps_emulator.apps.replicas.console import Line, LineLog
from containerapps_emulator.apps.replicas.isolation import Kernel
from containerapps_emulator.apps.replicas.leftovers import PROCESSES
from containerapps_emulator.apps.replicas.probes import watch
from containerapps_emulator.apps.resources.streams import merged
from containerapps_emulator.apps.scaler import Scaler
from containerapps_emulator.background import in_background
from containerapps_emulator.listeners import Listener, bind
from containerapps_emulator.state import State


class Fails:
    """Raises the first `times`, then does what it stands for."""

    def __init__(self, stands_for: Callable[..., Any], times: int = 1, when: str = "") -> None:
        self._stands_for = stands_for
        self._left = times
        self._when = when
        self.failed = asyncio.Event()

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        if self._left and self._when in str(arguments):
            self._left -= 1
            self.failed.set()
            raise RuntimeError("memory is short")
        return self._stands_for(*arguments, **named)


async def happens(event: asyncio.Event) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        await event.wait()


async def test_a_task_that_fails_is_told_by_name(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        raise RuntimeError("memory is short")

    task = in_background(work(), "the work")
    await asyncio.wait({task})
    assert "the work failed: memory is short" in caplog.text
    assert "Traceback" in caplog.text


async def test_scaling_goes_on_after_a_change_that_failed(caplog: pytest.LogCaptureFixture) -> None:
    counts = [1]

    def change(count: int, _: str) -> None:
        counts.append(count)

    scaler = Scaler(
        ScalePlan(1, 3, 5, (1,), ()),
        FastClock(),
        name="web--1",
        period_seconds=5,
        stable_seconds=10,
        count=lambda: counts[-1],
        set_count=Fails(change),
    )
    with scaler.request(), scaler.request(), scaler.request():
        await until(lambda: counts[-1] == 3)
    await until(lambda: counts[-1] == 1)
    assert "the scale of web--1 failed: memory is short" in caplog.text
    await scaler.stop()


async def test_a_place_comes_free_though_the_replica_did_not_stop_in_order(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await cloud.deploy()
    await cloud.until_ready()
    freed: list[str] = []
    monkeypatch.setattr(Capacity, "give_back", lambda _, replica: freed.append(replica))
    (before,) = cloud.replicas(cloud.latest)
    fails = Fails(cloud.state.delete, when=PROCESSES)
    monkeypatch.setattr(cloud.state, "delete", fails)
    await cloud.ask_revision(cloud.latest, "restart")
    await happens(fails.failed)
    await until(lambda: freed == [before["name"]])
    await until(
        lambda: [item["properties"]["runningState"] for item in cloud.replicas(cloud.latest)] == ["Running"]
    )
    assert (await cloud.get())["pid"]
    assert f"the stop of replica {before['name']} failed: memory is short" in caplog.text


async def test_a_replica_that_found_no_place_tries_again(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def take(*_: Any) -> None:
        """There is room."""

    fails = Fails(take)
    monkeypatch.setattr(Capacity, "take", fails)
    await cloud.deploy()
    await cloud.until_ready()
    assert fails.failed.is_set()
    assert "Back-off" in cloud.events()


async def test_a_replica_lives_on_when_its_readiness_is_not_written_down(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The next change makes the revision the one that serves."""
    app_saved = Fails(cloud.state.put, when="'latest_ready': 'web--")
    monkeypatch.setattr(cloud.state, "put", app_saved)
    await cloud.deploy(replicas=2)
    await cloud.until_ready()
    assert app_saved.failed.is_set()
    assert "the look at its replicas failed: memory is short" in caplog.text


async def test_what_an_app_does_by_itself_is_told_and_leaves_nothing_behind(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await cloud.deploy()
    await cloud.until_ready()
    first = cloud.latest
    app = cloud.service._fleet.find(cloud.app)
    assert app is not None
    running = app.running(first)
    assert running is not None
    stop, fails = running.stop, Fails(lambda: None)

    async def stopped(**options: Any) -> None:
        await stop(**options)
        fails()

    monkeypatch.setattr(running, "stop", stopped)
    await cloud.deploy(env={"VERSION": "2"})
    await cloud.until_ready()
    await happens(fails.failed)
    await until(lambda: f"app web: the end of {first} failed: memory is short" in caplog.text)
    await until(lambda: cloud.revision(first)["runningState"] == "Stopped")


async def test_a_line_that_cannot_be_kept_costs_the_container_that_line(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = Fails(LineLog.append, when="FIRST")
    monkeypatch.setattr(LineLog, "append", lambda log, text: fails(log, text))  # noqa: PLW0108 - a method
    program = "echo FIRST; echo SECOND; sleep 1000"
    await cloud.deploy(command=["/bin/bash", "-c", program], configuration={"ingress": None})
    await until(lambda: "SECOND" in cloud.console(cloud.latest))
    assert fails.failed.is_set()


async def test_readiness_that_is_watched_no_more_ends_the_watching() -> None:
    class Probed:
        def on_started(self) -> None:
            """It has started."""

        def on_ready(self, ready: bool) -> None:
            raise RuntimeError(f"memory is short: {ready}")

        def on_probe_failed(self, probe: Probe, problem: str) -> None:
            """It never does."""

    async def check(_: Probe) -> None:
        """It answers."""

    readiness = Probe("Readiness", None, 1, (), 0, 1, 1, 1, 1)
    async with asyncio.timeout(DEADLINE_SECONDS):
        with pytest.raises(RuntimeError, match="memory is short"):
            await watch([readiness], None, check, FastClock(), Probed())


async def test_a_request_that_cannot_be_passed_on_is_answered_and_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def route(_: str) -> Failure:
        raise RuntimeError("memory is short")

    ingress = Ingress("127.0.0.1", route, 60)
    port = await ingress.open(0)
    async with httpx.AsyncClient(timeout=DEADLINE_SECONDS) as client:
        answer = await client.get(f"http://127.0.0.1:{port}/")
    await ingress.close()
    assert answer.status_code == 500
    assert f"a request to 127.0.0.1:{port} failed: memory is short" in caplog.text


async def test_an_ingress_that_cannot_listen_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async def startup(*_: Any, **__: Any) -> None:
        raise OSError("no file descriptor is left")

    monkeypatch.setattr(_Server, "startup", startup)
    ingress = Ingress("127.0.0.1", lambda _: asyncio.sleep(0, Failure(404, b"")), 60)
    async with asyncio.timeout(DEADLINE_SECONDS):
        with pytest.raises(OSError, match="no file descriptor"):
            await ingress.open(0)


async def test_a_listener_that_went_deaf_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fail = asyncio.Event()

    async def main_loop(_: object) -> None:
        await fail.wait()
        raise RuntimeError("memory is short")

    monkeypatch.setattr(listeners._Server, "main_loop", main_loop)
    state = State(tmp_path / "state.sqlite3")
    listener = Listener(lambda *_: asyncio.sleep(0), bind(state, "arm"))
    await listener.start()
    fail.set()
    async with asyncio.timeout(DEADLINE_SECONDS):
        with pytest.raises(RuntimeError, match="memory is short"):
            await listener.ended()
    await listener.stop()
    state.close()
    assert "the listener on port" in caplog.text


async def test_a_log_stream_that_breaks_off_leaves_the_others(tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[Line]:
        yield Line(0, "", "before")
        raise RuntimeError("memory is short")

    log = LineLog(tmp_path / "x.log", FastClock())
    log.append("other")
    log.close()
    async with asyncio.timeout(DEADLINE_SECONDS):
        texts = {line.text async for line in merged([broken(), log.follow(10)])}
    assert texts == {"before", "other"}


async def test_a_kernel_that_could_not_be_asked_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "_try", Fails(lambda *_, **__: True))
    kernel = Kernel()
    with pytest.raises(RuntimeError):
        await kernel.isolates()
    assert await kernel.isolates()
