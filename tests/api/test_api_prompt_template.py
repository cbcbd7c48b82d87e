"""An adapter's own prompt template: used for its requests and no others, with the ids of training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.api.endpoint_builder import ADAPTERS, BASE, WatchedEngine, echo_engine
from tests.engine.tiny_models import CHAT_TEMPLATE as BASE_TEMPLATE
from tests.engine.tiny_models import write_tokenizer
from tests.project.stock_layout import LAYOUTS, StockLayout

from remora.adapters.registry import AdapterRegistry
from remora.engine.text.chat_template import HfTokenizer
from remora.server.app import create_app
from remora.server.settings import ServerSettings

TEMPLATE = "### Text: {}\n### The tone is:\n"
TURNS = [
    {"role": "system", "content": "be kind"},
    {"role": "user", "content": "first"},
    {"role": "assistant", "content": "joy"},
    {"role": "user", "content": "I got the job!"},
]


async def ask(engine: WatchedEngine, path: str = "chat/completions", **body: Any) -> httpx.Response:
    registry = AdapterRegistry(BASE, ADAPTERS, {"tone": TEMPLATE})
    app = create_app(engine, registry, ServerSettings(chat_page=False))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        return await http.post(f"/v1/{path}", json=body)


@pytest.mark.parametrize("model", ["tone", f"{BASE}:tone"])
async def test_its_requests_are_asked_as_in_training(model: str) -> None:
    engine = echo_engine()
    answer = await ask(engine, model=model, messages=TURNS)
    assert answer.status_code == 200
    assert engine.prompts == ["### Text: I got the job!\n### The tone is:\n"]


def test_a_version_on_the_share_under_another_name_has_the_template_of_its_own(tmp_path: Path) -> None:
    (tone,) = (each for each in ADAPTERS if each.name == "tone")
    there = replace(tone, name="tone-compared-1", path=tmp_path / "adapters" / "tone" / tone.digest)
    elsewhere = replace(tone, name="mood", path=tmp_path / "tone" / "checkpoint-1")
    registry = AdapterRegistry(BASE, [there, elsewhere], {"tone": TEMPLATE})
    assert registry.prompt_template(there) is not None
    assert registry.prompt_template(elsewhere) is None


@pytest.mark.parametrize("model", [BASE, "pirate"])
async def test_others_keep_the_chat_template_of_the_base(model: str) -> None:
    engine = echo_engine()
    assert (await ask(engine, model=model, messages=TURNS)).status_code == 200
    assert engine.prompts == ["system: be kind\nuser: first\nassistant: joy\nuser: I got the job!"]


async def test_a_plain_prompt_is_taken_as_it_is() -> None:
    engine = echo_engine()
    assert (await ask(engine, "completions", model="tone", prompt="as it is")).status_code == 200
    assert engine.prompts == ["as it is"]


async def test_without_a_user_message_it_is_refused() -> None:
    answer = await ask(echo_engine(), model="tone", messages=TURNS[:1])
    assert answer.status_code == 400
    assert "no user message" in answer.json()["error"]["message"]


@pytest.mark.parametrize("layout", [LAYOUTS[0], LAYOUTS[1]], ids=lambda layout: layout.name)
def test_the_prompt_has_the_ids_of_training(tmp_path: Path, layout: StockLayout) -> None:
    """The training text is tokenized whole; what the model sees before its answer must begin it."""
    write_tokenizer(tmp_path, chat_template=BASE_TEMPLATE)
    tokenizer = HfTokenizer(tmp_path)
    registry = AdapterRegistry(BASE, ADAPTERS, {"tone": layout.prompt_template})
    template = registry.prompt_template(registry.resolve("tone"))
    assert template is not None
    ids = tokenizer.encode(template.fill_from(TURNS))
    trained = tokenizer.encode(layout.text_template.format(phrase="I got the job!", tone="joy"))
    assert trained[: len(ids)] == ids
    assert len(trained) > len(ids)
    assert ids != tokenizer.render_chat(TURNS)
