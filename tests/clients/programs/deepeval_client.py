"""deepeval's LocalModel, with which it judges."""

import os

os.environ |= {
    "DEEPEVAL_TELEMETRY_OPT_OUT": "YES",
    "DEEPEVAL_UPDATE_WARNING_OPT_IN": "0",
    "DEEPEVAL_RETRY_MAX_ATTEMPTS": "6",
}
import harness as h
from deepeval.models import LocalModel
from pydantic import BaseModel


class Weather(BaseModel):
    city: str


def made(model=h.MODEL, key=h.KEY, url=h.URL, **fields):
    return LocalModel(model=model, api_key=key, base_url=url, generation_kwargs=fields)


def said(text=h.HELLO, schema=None, **fields):
    return made(**fields).generate(text, schema=schema)[0]


def chat():
    assert said() == h.HELLO


def schema():
    assert isinstance(said("x", schema=Weather, response_format=h.RESPONSE_FORMAT), Weather)


def stop():
    assert said(h.STOPPED, stop=[h.STOP]) == h.BEFORE_STOP


def seed():
    assert said(h.WHICH_SEED, seed=h.SEED) == str(h.SEED)


def retry():
    assert said(url=h.BUSY_URL) == h.HELLO


async def asynchronous():
    assert (await made().a_generate(h.HELLO))[0] == h.HELLO


h.run(
    {
        "lists no models": "list",
        "reads the text of the first answer only": "stream usage logprobs n",
        "judges with text, without calls": "auto required named parallel result",
    },
    chat=chat,
    schema=schema,
    stop=stop,
    seed=seed,
    cancel=h.stops(lambda: h.cancelled(made().a_generate(h.LONG))),
    wrong_key=h.wrong_key(lambda: said(key=h.WRONG_KEY)),
    wrong_model=h.wrong_model(lambda: said(model=h.WRONG_MODEL)),
    retry=retry,
    asynchronous=asynchronous,
)
