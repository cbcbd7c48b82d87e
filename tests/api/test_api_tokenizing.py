"""Long prompts are tokenized off the event loop, for the adapter that a name means when its answer starts."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.api.endpoint_builder import ADAPTERS, BASE, DEADLINE_SECONDS, KEY, KEYS, build_app
from tests.api.shared_folder import SharedFolder
from tests.api.test_api_supervision import until

from remora.adapters.aliases import AliasSet
from remora.adapters.registry import AdapterRegistry
from remora.engine.echo import EchoEngine, EchoTokenizer
from remora.server.generation.answering import QUICK_CHARACTERS, Answerer
from remora.server.generation.choices import ask
from remora.server.generation.question import Question
from remora.server.roster.reconcile import Reconciler
from remora.server.roster.roster import Roster
from remora.server.settings import ServerSettings

SLOW = "slow".ljust(QUICK_CHARACTERS + 1, "!")


class SlowTokenizer(EchoTokenizer):
    """Takes as long as a test wants for texts that begin with "slow"."""

    def __init__(self) -> None:
        self.slow_count = 0
        self.go_on = threading.Event()

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        if "slow" in text:
            self.slow_count += 1
            assert self.go_on.wait(DEADLINE_SECONDS / 4)
        return super().encode(text, add_special_tokens=add_special_tokens)


class SlowlyRead(EchoEngine):
    def __init__(self) -> None:
        super().__init__()
        self.tokenizer: SlowTokenizer = SlowTokenizer()
        for each in ADAPTERS:
            self.load_adapter(each)


REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("/v1/completions", {"prompt": SLOW}),
    ("/v1/completions", {"prompt": ["quick", SLOW], "n": 2}),
    ("/v1/completions", {"prompt": "slow".ljust(QUICK_CHARACTERS // 2, "!"), "n": 3}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": SLOW}]}),
    ("/v1/responses", {"input": SLOW}),
    ("/tokenize", {"prompt": SLOW}),
]


@pytest.mark.parametrize(("path", "fields"), REQUESTS)
async def test_a_prompt_that_takes_long_to_tokenize_holds_nobody_else_up(
    path: str, fields: dict[str, Any]
) -> None:
    engine = SlowlyRead()
    transport = httpx.ASGITransport(build_app(engine))
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
        slow = asyncio.create_task(client.post(path, json={"model": BASE, **fields}))
        await until(lambda: engine.tokenizer.slow_count > 0)
        assert (await client.get("/healthz")).status_code == 200
        quick = await client.post("/v1/completions", json={"model": "tone", "prompt": "quick"})
        assert quick.status_code == 200
        assert not slow.done()
        engine.tokenizer.go_on.set()
        assert (await slow).status_code == 200


async def test_a_name_that_changes_while_its_prompt_is_tokenized_answers_with_what_it_means_then(
    tmp_path: Path,
) -> None:
    share, engine = SharedFolder(tmp_path / "mount"), SlowlyRead()
    old, new = share.put("tone", 1), share.put("tone", 2)
    share.say(AliasSet().with_alias("tone", old))
    models = AdapterRegistry("tone-base", ())
    roster, answerer = Roster(engine, models), Answerer(engine, models)
    reconciler = Reconciler(roster, share.models())
    await reconciler.reconcile()
    asking = asyncio.create_task(ask(answerer, [Question(model="tone", text=SLOW)], 3))
    await until(lambda: engine.tokenizer.slow_count == 1)
    share.say(share.aliases.with_alias("tone", new))
    await reconciler.reconcile()
    assert old not in engine.stats().adapters
    engine.tokenizer.go_on.set()
    choices = await asking
    assert engine.tokenizer.slow_count == 2
    assert {answer.adapter.digest for answer in choices.answers if answer.adapter} == {new}
    assert [choice.text for choice in await choices.whole()] == [f"{new[:12]}:{SLOW}"] * 3


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        ("/v1/completions", {"prompt": ["a"] * 16, "n": 16}, "n"),
        ("/v1/completions", {"prompt": ["a"] * 6, "n": 1, "best_of": 15}, "best_of"),
        ("/v1/completions", {"prompt": ["a"] * 16}, "prompt"),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}], "n": 9}, "n"),
    ],
)
async def test_more_answers_than_there_are_places_are_400(
    engine: EchoEngine, path: str, fields: dict[str, Any], param: str
) -> None:
    settings = ServerSettings(api_keys=KEYS, chat_page=False, max_open_requests=8)
    transport = httpx.ASGITransport(build_app(engine, settings))
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
        refused = await client.post(path, json={"model": BASE, **fields})
        error = refused.json()["error"]
        assert (refused.status_code, error["code"], error["param"]) == (400, "invalid_value", param)
        assert "places for 8" in error["message"]
