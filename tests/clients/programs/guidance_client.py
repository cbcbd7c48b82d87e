"""guidance over openai-python; it always streams."""

import harness as h
from guidance import assistant, gen, json, user
from guidance.models import OpenAI
from pydantic import BaseModel

called = []


def get_weather(city: str) -> str:
    """The weather of a city."""
    called.append(city)
    return "warm"


class Weather(BaseModel):
    city: str


def asked(text=h.HELLO, made=None, model=h.MODEL, key=h.KEY, url=h.URL, max_retries=0):
    lm = OpenAI(model, echo=False, api_key=key, base_url=url, max_retries=max_retries)
    with user():
        lm += text
    with assistant():
        lm += made or gen("answer")
    return lm


def stream():
    assert asked()["answer"] == h.HELLO


def usage():
    lm = asked()
    assert lm._get_usage().forward_passes == h.HELLO_TOKENS


def used():
    """It calls what the model asks for, and its next question has the result."""

    called.clear()
    lm = asked("one", gen(tools=[get_weather]))
    with assistant():
        lm += gen("answer")
    assert lm["answer"] == h.WARM
    assert called == ["Bern"]


def schema():
    Weather.model_validate_json(asked("x", json("answer", schema=Weather))["answer"])


def retry():
    assert asked(url=h.BUSY_URL, max_retries=8)["answer"] == h.HELLO


h.run(
    {
        "lists no models": "list",
        "always streams": "chat",
        "the model decides to call": "required named",
        "refuses stop strings over an API": "stop",
        "runs the first call of an answer": "parallel",
        "keeps them for its notebook view": "logprobs",
        h.NO_OPTION: "n seed",
        "reads every answer to its end": "cancel",
        "has no such form": "asynchronous",
    },
    stream=stream,
    usage=usage,
    schema=schema,
    auto=used,
    result=used,
    wrong_key=h.wrong_key(lambda: asked(key=h.WRONG_KEY)),
    wrong_model=h.wrong_model(lambda: asked(model=h.WRONG_MODEL)),
    retry=retry,
)
