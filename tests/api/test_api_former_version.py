"""`NAME@previous`: the former version of an adapter, which is loaded beside the current one when asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.api.shared_folder import SharedFolder

from remora.adapters.adapter import Digest
from remora.adapters.aliases import AliasSet
from remora.adapters.registry import AdapterRegistry
from remora.engine.base import FinishReason
from remora.engine.echo import EchoEngine
from remora.errors import AdapterRejected, ModelNotFound
from remora.server.app import create_app
from remora.server.generation.answering import Answerer
from remora.server.generation.question import Question
from remora.server.roster.reconcile import Reconciler
from remora.server.roster.roster import MOST_PREVIOUS, Roster
from remora.server.settings import ServerSettings

BASE = "tone-base"


class Replica:
    """One replica that follows a share, with its endpoint."""

    def __init__(self, share: SharedFolder) -> None:
        self.engine = EchoEngine()
        self.models = AdapterRegistry(BASE, ())
        self.roster = Roster(self.engine, self.models)
        self.answerer = Answerer(self.engine, self.models, bring=self.roster.bring)
        self.reconciler = Reconciler(self.roster, share.models())

    @property
    def loaded(self) -> set[Digest]:
        return set(self.engine.stats().adapters)

    async def text(self, model: str) -> str:
        await self.answerer.bring(model)
        answer = self.answerer.ask(Question(model=model, text="hello", max_tokens=32))
        return "".join(piece.text for piece in await answer.whole())


@pytest.fixture
def share(tmp_path: Path) -> SharedFolder:
    return SharedFolder(tmp_path / "mount")


async def test_it_is_loaded_when_it_is_asked_and_answers_beside_the_current_one(share: SharedFolder) -> None:
    old, new = share.put("tone", 1), share.put("tone", 2)
    share.say(AliasSet().with_alias("tone", old).with_alias("tone", new))
    replica = Replica(share)
    await replica.reconciler.reconcile()
    assert replica.loaded == {new}
    assert replica.models.previous == {"tone": old}
    asked = ("tone@previous", f"{BASE}:tone@previous", "tone")
    texts = await asyncio.gather(*(replica.text(model) for model in asked))
    assert texts == [f"{digest[:12]}:hello" for digest in (old, old, new)]
    assert replica.loaded == {old, new}
    assert [each.name for each in replica.models.adapters] == ["tone"]  # it is offered, and served by asking


async def test_it_is_dropped_when_another_version_is_the_former_one(share: SharedFolder) -> None:
    first, second, third = (share.put("tone", value) for value in (1, 2, 3))
    share.say(AliasSet().with_alias("tone", first).with_alias("tone", second))
    replica = Replica(share)
    await replica.reconciler.reconcile()
    await replica.text("tone@previous")
    replica.engine.hold()
    running = replica.answerer.ask(Question(model="tone@previous", text="hello", max_tokens=32))
    whole = asyncio.create_task(running.whole())
    share.say(share.aliases.with_alias("tone", third))
    await replica.reconciler.reconcile()
    replica.engine.release()
    assert "".join(piece.text for piece in await whole) == f"{first[:12]}:hello"
    assert running.finish_reason is FinishReason.STOP
    assert replica.loaded == {third}  # nobody has asked for the second one yet
    assert await replica.text("tone@previous") == f"{second[:12]}:hello"
    share.say(share.aliases.rolled_back("tone"))
    await replica.reconciler.reconcile()
    assert await replica.text("tone") == f"{second[:12]}:hello"
    assert await replica.text("tone@previous") == f"{third[:12]}:hello"
    share.say(share.aliases.without("tone"))
    await replica.reconciler.reconcile()
    assert replica.loaded == set()


async def test_there_are_only_so_many_at_once(share: SharedFolder) -> None:
    names = [f"a{number}" for number in range(MOST_PREVIOUS + 2)]
    aliases = AliasSet()
    for number, name in enumerate(names):
        old, new = share.put(name, 100 + number), share.put(name, 200 + number)
        aliases = aliases.with_alias(name, old).with_alias(name, new)
    share.say(aliases)
    replica = Replica(share)
    await replica.reconciler.reconcile()
    for name in names:
        await replica.text(f"{name}@previous")
    assert len(replica.loaded) == len(names) + MOST_PREVIOUS
    dropped = aliases.aliases[names[0]].previous
    assert dropped is not None
    assert dropped not in replica.loaded
    assert await replica.text(f"{names[0]}@previous") == f"{dropped[:12]}:hello"


async def test_one_that_cannot_be_loaded_costs_nothing_but_the_answer(share: SharedFolder) -> None:
    wide, new = share.put("tone", 1, width=16), share.put("tone", 2)
    share.say(AliasSet().with_alias("tone", wide).with_alias("tone", new))
    replica = Replica(share)
    await replica.reconciler.reconcile()
    with pytest.raises(AdapterRejected, match="16 x 16 in the adapter"):
        await replica.answerer.bring("tone@previous")
    assert await replica.text("tone") == f"{new[:12]}:hello"


async def test_an_adapter_with_one_version_has_none(share: SharedFolder) -> None:
    share.say(AliasSet().with_alias("tone", share.put("tone", 1)))
    replica = Replica(share)
    await replica.reconciler.reconcile()
    with pytest.raises(ModelNotFound, match="'tone' has no previous version here"):
        await replica.text("tone@previous")
    with pytest.raises(ModelNotFound, match=r"'mood@previous' does not exist"):
        await replica.text("mood@previous")


@asynccontextmanager
async def fresh_endpoint(share: SharedFolder, *, chat_page: bool = False) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an endpoint in which nobody has asked the former version yet."""
    old, new = share.put("tone", 1), share.put("tone", 2)
    share.say(AliasSet().with_alias("tone", old).with_alias("tone", new))
    replica = Replica(share)
    await replica.reconciler.reconcile()
    settings = ServerSettings(ollama=True, chat_page=chat_page)
    app = create_app(replica.engine, replica.models, settings, roster=replica.roster)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        yield client


TALK = [{"role": "user", "content": "hello"}]
ANSWERED = [*TALK, {"role": "assistant", "content": "hello"}]
ASKED: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": TALK},
    "/side-by-side/chat": {"messages": TALK},
    "/side-by-side/colours": {"messages": ANSWERED},
    "/v1/completions": {"prompt": "hello"},
    "/v1/responses": {"input": "hello"},
    "/v1/messages": {"messages": TALK, "max_tokens": 8},
    "/v1/messages/count_tokens": {"messages": TALK},
    "/api/chat": {"messages": TALK},
    "/api/generate": {"prompt": "hello"},
    "/tokenize": {"prompt": "hello"},
    "/detokenize": {"tokens": [104, 105]},
}


@pytest.mark.parametrize("path", ASKED)
async def test_every_route_loads_it(share: SharedFolder, path: str) -> None:
    async with fresh_endpoint(share, chat_page=path.startswith("/side")) as http:
        answer = await http.post(path, json={"model": "tone@previous", **ASKED[path]})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("body", [{"messages": []}, {"prompt": ""}])
async def test_ollamas_way_to_load_a_model_loads_it(share: SharedFolder, body: dict[str, Any]) -> None:
    path = "/api/chat" if "messages" in body else "/api/generate"
    async with fresh_endpoint(share) as http:
        answer = await http.post(path, json={"model": "tone@previous", **body})
    assert (answer.status_code, answer.json()["done_reason"]) == (200, "load")


async def test_its_card_has_its_digest_and_the_list_has_it_not(share: SharedFolder) -> None:
    async with fresh_endpoint(share) as http:
        assert (await http.get("/tokenizer_info", params={"model": "tone@previous"})).status_code == 200
        card = (await http.get("/v1/models/tone@previous")).json()
        listed = (await http.get("/v1/models")).json()["data"]
    assert card["adapter"]["digest"] == share.aliases.aliases["tone"].previous
    assert [each["id"] for each in listed] == [BASE, "tone"]


async def test_the_pages_offer_it(share: SharedFolder) -> None:
    async with fresh_endpoint(share, chat_page=True) as http:
        offered = (await http.get("/side-by-side/models")).json()["models"]
    previous = share.aliases.aliases["tone"].previous
    assert previous is not None
    assert offered[-1] == {"id": "tone@previous", "digest": previous[:12]}
