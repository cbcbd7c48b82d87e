"""Outlines over openai-python."""

import harness as h
import openai
import outlines
from pydantic import BaseModel


class Weather(BaseModel):
    city: str


def model(name=h.MODEL, key=h.KEY, url=h.URL, max_retries=0):
    return outlines.from_openai(openai.OpenAI(base_url=url, api_key=key, max_retries=max_retries), name)


def chat():
    assert model()(h.HELLO) == h.HELLO


def stream():
    assert "".join(model().stream(h.HELLO)) == h.HELLO


def schema():
    Weather.model_validate_json(model()("x", Weather))


def stop():
    assert model()(h.STOPPED, stop=[h.STOP]) == h.BEFORE_STOP


def several():
    assert model()(h.HELLO, n=3) == [h.HELLO] * 3


def seed():
    assert model()(h.WHICH_SEED, seed=h.SEED) == str(h.SEED)


def retry():
    assert model(url=h.BUSY_URL, max_retries=8)(h.HELLO) == h.HELLO


async def asked(text=h.HELLO):
    client = openai.AsyncOpenAI(base_url=h.URL, api_key=h.KEY)
    return await outlines.from_openai(client, h.MODEL)(text)


async def asynchronous():
    assert await asked() == h.HELLO


h.run(
    {
        "lists no models": "list",
        "gives the text only": "usage logprobs",
        "has outputs of a type, and no calls": "auto required named parallel result",
    },
    chat=chat,
    stream=stream,
    schema=schema,
    stop=stop,
    n=several,
    seed=seed,
    cancel=h.stops(lambda: h.cancelled(asked(h.LONG))),
    wrong_key=h.wrong_key(lambda: model(key=h.WRONG_KEY)(h.HELLO)),
    wrong_model=h.wrong_model(lambda: model(name=h.WRONG_MODEL)(h.HELLO)),
    retry=retry,
    asynchronous=asynchronous,
)
