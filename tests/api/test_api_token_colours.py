"""The figures behind token colours, of a real model, against what PEFT and numpy find."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from fastapi import FastAPI
from peft import PeftModel
from tests.api.endpoint_builder import BASE
from tests.rollout.test_compare_heat import ADAPTER, EXAMPLE, least_divergence
from transformers import AutoModelForCausalLM, AutoTokenizer

from remora.adapters.peft.base_shape import read_base
from remora.adapters.peft.inspect import inspect_adapter
from remora.adapters.registry import AdapterRegistry
from remora.engine.torch.engine import TorchEngine
from remora.server.access.admitted import PAGE_COLOURS_PATH
from remora.server.generation.answering import Answerer
from remora.server.ui.token_colours import token_colour_routes
from remora.server.wire.problems import install_problem_handlers

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

ASKED = {"role": "user", "content": "My sister won the chess tournament."}
ANSWER = {"role": "assistant", "content": "Arr! That be grand, says I."}


@pytest.fixture(scope="module")
def app() -> Iterator[FastAPI]:
    engine = TorchEngine.load(EXAMPLE / "base", dtype="float32", native="never")
    pirate = inspect_adapter("pirate", ADAPTER, read_base(EXAMPLE / "base"))
    engine.load_adapter(pirate)
    app = FastAPI()
    app.include_router(token_colour_routes(Answerer(engine, AdapterRegistry(BASE, (pirate,)))))
    install_problem_handlers(app)
    yield app
    engine.close()


async def colours(app: FastAPI, **fields: Any) -> httpx.Response:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        body = {"model": "pirate", "messages": [ASKED, ANSWER], **fields}
        return await client.post(PAGE_COLOURS_PATH, json=body)


async def test_the_distance_is_the_divergence_that_numpy_finds(app: FastAPI) -> None:
    tokens = (await colours(app)).json()["tokens"]
    tokenizer = AutoTokenizer.from_pretrained(EXAMPLE / "base")
    prompt = tokenizer.apply_chat_template([ASKED], add_generation_prompt=True, return_dict=False)
    answer = tokenizer.encode(ANSWER["content"], add_special_tokens=False)
    model = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(EXAMPLE / "base", dtype=torch.float32), ADAPTER
    ).eval()
    ids = torch.tensor([[*prompt, *answer]])
    with torch.no_grad():
        adapted = model(ids).logits[0].double().log_softmax(-1).numpy()[len(prompt) - 1 : -1]
        with model.disable_adapter():
            base = model(ids).logits[0].double().log_softmax(-1).numpy()[len(prompt) - 1 : -1]
    assert "".join(token["text"] for token in tokens) == ANSWER["content"]
    assert max(token["kl"] for token in tokens) > 1
    for token, token_id, p, q in zip(tokens, answer, base, adapted, strict=True):
        assert token["kl"] == pytest.approx(least_divergence(p, q, token_id), rel=0.01, abs=2e-3)
        assert token["base"][0][1] == pytest.approx(float(np.exp(p.max())), abs=1e-3)
        assert token["model"][0][1] == pytest.approx(float(np.exp(q.max())), abs=1e-3)


async def test_without_strength_the_adapter_differs_nowhere(app: FastAPI) -> None:
    tokens = (await colours(app, adapter_scale=0.0)).json()["tokens"]
    assert max(token["kl"] for token in tokens) < 1e-3


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": "nobody"}, "model"),
        ({"messages": [ANSWER]}, "messages"),
        ({"adapter_scale": 9}, "adapter_scale"),
    ],
)
async def test_bad_input_is_named(app: FastAPI, fields: dict[str, Any], param: str) -> None:
    answered = await colours(app, **fields)
    assert answered.status_code in (400, 404)
    assert answered.json()["error"]["param"] == param
