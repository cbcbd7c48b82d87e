"""Background tasks that fail: the next round comes, and the log, /metrics and /readyz say so."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from tests.api.endpoint_builder import DEADLINE_SECONDS
from tests.api.shared_folder import SharedFolder

from remora.adapters.adapter import Adapter, AppliedAdapter, Digest
from remora.adapters.aliases import AliasSet
from remora.adapters.proof import ProofPolicy
from remora.adapters.registry import AdapterRegistry
from remora.engine.base import GenerationRequest, TokenStream
from remora.engine.echo import EchoEngine
from remora.errors import InvalidFile, Overloaded
from remora.server.app import create_app
from remora.server.roster.proving import Prover
from remora.server.roster.reconcile import Reconciler
from remora.server.roster.roster import Roster
from remora.server.settings import ServerSettings
from remora.server.supervision import UNREADY_AFTER_SECONDS, BackgroundTask, Supervisor

QUICK_SECONDS = 0.002


class Clock:
    """Moves when a test moves it."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class Rounds:
    """A round that raises what it is told to, until it is told otherwise."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.count = 0

    async def __call__(self) -> None:
        self.count += 1
        if self.error is not None:
            raise self.error


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not reached():  # noqa: ASYNC110 - what is waited for is a state, and nobody tells of it
            await asyncio.sleep(QUICK_SECONDS)


@asynccontextmanager
async def serving(supervisor: Supervisor) -> AsyncIterator[httpx.AsyncClient]:
    """An endpoint as it is between start and stop."""
    app = create_app(
        EchoEngine(), AdapterRegistry("base", ()), ServerSettings(chat_page=False), supervisor=supervisor
    )
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        yield client


@pytest.mark.parametrize("error", [RuntimeError("memory is short"), KeyError("x"), asyncio.CancelledError()])
async def test_a_task_that_raises_goes_on_and_says_so(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    clock, rounds = Clock(), Rounds(error)
    task = BackgroundTask("following", rounds, QUICK_SECONDS, needed=True)
    async with serving(Supervisor([task], clock)) as client:
        await until(lambda: rounds.count >= 3)
        scraped = (await client.get("/metrics")).text
        assert 'remora_background_failing{task="following"} 1.0' in scraped
        assert 'remora_background_failed_rounds_total{task="following"}' in scraped
        assert caplog.text.count("following failed and is tried again") == 1
        assert (await client.get("/readyz")).status_code == 200
        clock.seconds += UNREADY_AFTER_SECONDS + 1
        refused = await client.get("/readyz")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "not_ready")
        assert "following has failed for 31 seconds" in refused.json()["error"]["message"]
        assert (await client.get("/healthz")).status_code == 200
        rounds.error = None
        await until(lambda: "following works again" in caplog.text)
        assert (await client.get("/readyz")).status_code == 200
        assert 'remora_background_failing{task="following"} 0.0' in (await client.get("/metrics")).text


@pytest.mark.parametrize(
    ("error", "needed"),
    [
        (InvalidFile("the share is away"), True),
        (OSError("stale handle"), True),
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (RuntimeError("x"), False),
    ],
)
async def test_a_share_that_is_away_and_a_task_that_nobody_needs_leave_the_endpoint_ready(
    error: Exception, needed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    clock, rounds = Clock(), Rounds(error)
    task = BackgroundTask("following", rounds, QUICK_SECONDS, needed=needed)
    async with serving(Supervisor([task], clock)) as client:
        await until(lambda: rounds.count >= 2)
        is_full = isinstance(error, OSError) and error.errno == errno.ENOSPC
        assert ("cannot be written: the disk is full" in caplog.text) is is_full
        clock.seconds += 10 * UNREADY_AFTER_SECONDS
        assert (await client.get("/readyz")).status_code == 200
        assert 'remora_background_failing{task="following"} 1.0' in (await client.get("/metrics")).text


class ShortOfMemory(EchoEngine):
    """Cannot load what it is told not to."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[Digest] = set()

    def load_adapter(self, adapter: Adapter) -> AppliedAdapter:
        if adapter.digest in self.refused:
            raise RuntimeError("memory is short")
        return super().load_adapter(adapter)


async def test_an_adapter_that_cannot_be_loaded_keeps_no_other_from_being_followed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    share = SharedFolder(tmp_path / "mount")
    first, second, other = share.put("tone", 1), share.put("tone", 2), share.put("pirate", 3)
    share.say(AliasSet().with_alias("tone", first))
    engine, said = ShortOfMemory(), list[str]()
    engine.refused.add(second)
    roster = Roster(engine, AdapterRegistry("tone-base", ()), said.append)
    supervisor = Supervisor([Reconciler(roster, share.models()).task(QUICK_SECONDS)])
    running = asyncio.create_task(supervisor.run())
    await until(lambda: "tone" in roster.models.names)
    share.say(share.aliases.with_alias("tone", second).with_alias("pirate", other))
    await until(lambda: "pirate" in roster.models.names)
    assert {each.name: each.digest for each in roster.models.adapters} == {"tone": first, "pirate": other}
    assert roster.problems["tone"].reason == "RuntimeError: memory is short"
    assert "cannot be loaded" in caplog.text
    assert not supervisor.states[0].problem
    running.cancel()


class OftenFull(EchoEngine):
    """Has no place for the first few requests, and then fails once in a way that nobody foresaw."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[Exception] = [Overloaded("full"), Overloaded("full"), RuntimeError("odd")]

    def submit(self, request: GenerationRequest) -> TokenStream:
        if self.failures:
            raise self.failures.pop(0)
        return super().submit(request)


async def test_an_effect_that_could_not_be_measured_now_is_measured_later(tmp_path: Path) -> None:
    share = SharedFolder(tmp_path / "mount")
    share.say(AliasSet().with_alias("tone", share.put("tone", 1)))
    engine = OftenFull()
    roster = Roster(engine, AdapterRegistry("tone-base", ()), prover=Prover(engine, ProofPolicy.WARN))
    await Reconciler(roster, share.models()).reconcile()
    digest = roster.models.adapters[0].digest
    running = asyncio.create_task(Supervisor([roster.prover.task(roster.models, QUICK_SECONDS)]).run())
    await until(lambda: roster.prover.told(digest)["state"] != "pending")
    assert roster.prover.told(digest)["state"] == "proven"
    running.cancel()
