"""Instructor: models of pydantic out of calls and schemas."""

import harness as h
import instructor
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel


class Weather(BaseModel):
    city: str


def made(
    mode=instructor.Mode.TOOLS, model=h.MODEL, key=h.KEY, url=h.URL, max_retries=0, text=h.HELLO, **fields
):
    client = instructor.from_openai(OpenAI(base_url=url, api_key=key, max_retries=max_retries), mode=mode)
    return client.chat.completions.create(
        model=model, messages=h.user(text), **{"response_model": Weather, "max_retries": 1, **fields}
    )


def whole(**fields):
    """Without a model it gives the answer itself."""
    return made(response_model=None, **fields)


def chat():
    assert whole().choices[0].message.content == h.HELLO


def stream():
    client = instructor.from_openai(OpenAI(base_url=h.URL, api_key=h.KEY), mode=instructor.Mode.JSON_SCHEMA)
    *_, last = client.chat.completions.create_partial(
        model=h.MODEL, messages=h.user("x"), response_model=Weather
    )
    assert isinstance(last.city, str)


def required():
    assert isinstance(made(), Weather)


def schema():
    assert isinstance(made(instructor.Mode.JSON_SCHEMA), Weather)


def stop():
    assert whole(text=h.STOPPED, stop=[h.STOP]).choices[0].message.content == h.BEFORE_STOP


def logprobs():
    assert whole(logprobs=True).choices[0].logprobs.content


def several():
    assert len(whole(n=3).choices) == 3


def seed():
    assert whole(text=h.WHICH_SEED, seed=h.SEED).choices[0].message.content == str(h.SEED)


def retry():
    assert isinstance(made(url=h.BUSY_URL, max_retries=8), Weather)


async def asynchronous():
    client = instructor.from_openai(
        AsyncOpenAI(base_url=h.URL, api_key=h.KEY), mode=instructor.Mode.JSON_SCHEMA
    )
    answer = await client.chat.completions.create(
        model=h.MODEL, messages=h.user(h.HELLO), response_model=Weather
    )
    assert isinstance(answer, Weather)


h.run(
    {
        "lists no models": "list",
        "streams parts of a model, without usage": "usage",
        "forces a call of the model's own function": "auto result",
        "its calls are one model": "parallel",
        "reads every answer to its end": "cancel",
    },
    chat=chat,
    stream=stream,
    required=required,
    named=required,
    schema=schema,
    stop=stop,
    logprobs=logprobs,
    n=several,
    seed=seed,
    wrong_key=h.wrong_key(lambda: made(key=h.WRONG_KEY)),
    wrong_model=h.wrong_model(lambda: made(model=h.WRONG_MODEL)),
    retry=retry,
    asynchronous=asynchronous,
)
