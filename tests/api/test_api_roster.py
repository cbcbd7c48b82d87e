"""Adapters that change while the endpoint serves: loaded beside, swapped, dropped; what fails stays out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.api.endpoint_builder import DEADLINE_SECONDS
from tests.api.shared_folder import SharedFolder

from remora.adapters.adapter import Adapter, Digest
from remora.adapters.aliases import Alias, AliasSet
from remora.adapters.registry import AdapterRegistry
from remora.adapters.shared import SharedModels
from remora.adapters.store import ALIASES, adapter_folder, alias_set_path
from remora.engine.base import FinishReason
from remora.engine.echo import EchoEngine
from remora.errors import InvalidFile, ModelNotFound
from remora.server.generation.answering import Answerer
from remora.server.generation.question import Question
from remora.server.roster.reconcile import Reconciler
from remora.server.roster.roster import Roster
from remora.server.supervision import Supervisor


class Replica:
    """The parts of one replica that follows a share, without HTTP."""

    def __init__(self, share: SharedModels, interval_seconds: float = 0.005) -> None:
        self.engine = EchoEngine()
        self.models = AdapterRegistry("tone-base", ())
        self.said: list[str] = []
        self.roster = Roster(self.engine, self.models, self.said.append)
        self.answerer = Answerer(self.engine, self.models)
        self.reconciler = Reconciler(self.roster, share)
        self.supervisor = Supervisor([self.reconciler.task(interval_seconds)])

    @property
    def digests(self) -> dict[str, Digest]:
        return {adapter.name: adapter.digest for adapter in self.models.adapters}

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not reached():  # noqa: ASYNC110 - what is waited for is a state, and nobody tells of it
                await asyncio.sleep(0.002)


@pytest.fixture
def share(tmp_path: Path) -> SharedFolder:
    return SharedFolder(tmp_path / "mount")


async def test_a_replica_follows_the_aliases(share: SharedFolder) -> None:
    old, new, other = share.put("tone", 1), share.put("tone", 2), share.put("pirate", 3)
    share.say(AliasSet().with_alias("tone", old))
    replica = Replica(share.models())
    await replica.reconciler.reconcile()
    assert replica.digests == {"tone": old}
    running = asyncio.create_task(replica.supervisor.run())
    share.say(share.aliases.with_alias("tone", new).with_alias("pirate", other))
    await replica.until(lambda: replica.digests == {"tone": new, "pirate": other})
    assert replica.roster.generation == 3
    assert set(replica.engine.stats().adapters) == {new, other}
    share.say(share.aliases.rolled_back("tone").without("pirate"))
    await replica.until(lambda: replica.digests == {"tone": old})
    assert replica.engine.stats().adapters == (old,)
    running.cancel()


async def test_a_request_in_flight_ends_with_the_adapter_it_began_with(share: SharedFolder) -> None:
    old, new = share.put("tone", 1), share.put("tone", 2)
    share.say(AliasSet().with_alias("tone", old))
    replica = Replica(share.models())
    await replica.reconciler.reconcile()
    replica.engine.hold()
    before = replica.answerer.ask(Question(model="tone", text="hello", max_tokens=32))
    text = asyncio.create_task(before.whole())
    share.say(share.aliases.with_alias("tone", new))
    await replica.reconciler.reconcile()
    after = replica.answerer.ask(Question(model="tone", text="hello", max_tokens=32))
    replica.engine.release()
    assert "".join(piece.text for piece in await text) == f"{old[:12]}:hello"
    assert before.finish_reason is FinishReason.STOP
    assert "".join(piece.text for piece in await after.whole()) == f"{new[:12]}:hello"


async def test_what_cannot_be_loaded_leaves_the_old_one(share: SharedFolder) -> None:
    old, wide = share.put("tone", 1), share.put("tone", 2, width=16)
    share.say(AliasSet().with_alias("tone", old))
    replica = Replica(share.models())
    await replica.reconciler.reconcile()
    share.say(share.aliases.with_alias("tone", wide).with_alias("gone", Digest("e" * 64)))
    for _ in range(3):
        await replica.reconciler.reconcile()
    assert replica.digests == {"tone": old}
    assert "8 x 8 in the base, 16 x 16 in the adapter" in replica.roster.problems["tone"].reason
    assert replica.roster.problems["gone"].digest == "e" * 64
    assert sum("is not served" in line for line in replica.said) == 2
    share.say(share.aliases.rolled_back("tone"))
    await replica.reconciler.reconcile()
    assert set(replica.roster.problems) == {"gone"}


async def test_a_replica_that_starts_later_arrives_at_the_same(share: SharedFolder) -> None:
    old, wide = share.put("tone", 1), share.put("tone", 2, width=16)
    share.say(AliasSet().with_alias("tone", old).with_alias("tone", wide))
    replica = Replica(share.models())
    await replica.reconciler.reconcile()
    assert replica.digests == {"tone": old}
    assert replica.roster.problems["tone"].digest == wide


async def test_a_damaged_folder_is_not_served(share: SharedFolder) -> None:
    digest = share.put("tone", 1)
    other = share.put("tone", 2)
    folder = share.root / adapter_folder("tone", digest)
    (share.root / adapter_folder("tone", other) / "adapter_model.safetensors").rename(
        folder / "adapter_model.safetensors"
    )
    share.say(AliasSet().with_alias("tone", digest))
    replica = Replica(share.models())
    await replica.reconciler.reconcile()
    assert replica.digests == {}
    assert "was damaged" in replica.roster.problems["tone"].reason
    with pytest.raises(ModelNotFound, match=r"'tone' is not served: .* was damaged"):
        replica.models.resolve("tone")


async def test_a_candidate_serves_its_own_set_until_the_aliases_are_newer(share: SharedFolder) -> None:
    old, new = share.put("tone", 1), share.put("tone", 2)
    share.say(AliasSet(4, {"tone": Alias(old)}))
    named = share.root / alias_set_path("abc")
    named.parent.mkdir()
    named.write_bytes(share.aliases.serving({"tone": new}).encode())
    candidate, current = Replica(share.models("abc")), Replica(share.models())
    for replica in (candidate, current):
        await replica.reconciler.reconcile()
    assert [candidate.digests, current.digests] == [{"tone": new}, {"tone": old}]
    share.say(AliasSet(6, {"tone": Alias(old, new)}))
    await candidate.reconciler.reconcile()
    assert candidate.digests == {"tone": old}


async def test_aliases_that_cannot_be_read_change_nothing(
    share: SharedFolder, caplog: pytest.LogCaptureFixture
) -> None:
    old, new = share.put("tone", 1), share.put("tone", 2)
    share.say(AliasSet().with_alias("tone", old))
    replica = Replica(share.models())
    await replica.reconciler.reconcile()
    running = asyncio.create_task(replica.supervisor.run())
    (share.root / ALIASES).write_text("{")
    await replica.until(lambda: "following the share's aliases failed" in caplog.text)
    assert replica.digests == {"tone": old}
    with pytest.raises(InvalidFile):
        await replica.reconciler.reconcile()
    share.say(share.aliases.with_alias("tone", new))
    await replica.until(lambda: replica.digests == {"tone": new})
    assert caplog.text.count("following the share's aliases failed") == 1
    await replica.until(lambda: "following the share's aliases works again" in caplog.text)
    replica.supervisor.check_ready()
    running.cancel()


async def test_two_names_of_one_digest_share_its_weights(share: SharedFolder) -> None:
    digest = share.put("tone", 1)
    assert share.put("mood", 1) == digest
    share.say(AliasSet().with_alias("tone", digest).with_alias("mood", digest))
    replica = Replica(share.models())
    await replica.reconciler.reconcile()
    share.say(share.aliases.without("tone"))
    await replica.reconciler.reconcile()
    assert replica.digests == {"mood": digest}
    assert replica.engine.stats().adapters == (digest,)


async def test_no_alias_takes_the_name_of_the_base(share: SharedFolder) -> None:
    digest = share.put("tone-base", 1)
    share.say(AliasSet().with_alias("tone-base", digest))
    replica = Replica(share.models())
    await replica.reconciler.reconcile()
    assert replica.models.resolve("tone-base") is None
    assert "name of the base model" in replica.roster.problems["tone-base"].reason


async def test_what_was_loaded_by_hand_stays_until_an_alias_takes_its_name(share: SharedFolder) -> None:
    first, second = share.put("tone", 1), share.put("mine", 2)
    share.say(AliasSet().with_alias("tone", first))
    models = share.models()
    replica = Replica(models)
    await replica.reconciler.reconcile()

    def opened() -> Adapter:
        return models.adapter("mine", second)

    await replica.roster.add("mine", opened)
    await replica.reconciler.reconcile()
    assert replica.digests == {"tone": first, "mine": second}
    third = share.put("mine", 3)
    share.say(share.aliases.with_alias("mine", third))
    await replica.reconciler.reconcile()
    assert replica.digests == {"tone": first, "mine": third}
    share.say(share.aliases.without("mine"))
    await replica.reconciler.reconcile()
    assert replica.digests == {"tone": first}
