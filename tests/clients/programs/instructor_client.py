"""Instructor: models of pydantic out of calls and schemas."""

from collections.abc import Iterable

import harness as h
import instructor
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel, create_model


class Weather(BaseModel):
    city: str


Call = create_model("get_weather", __base__=Weather)  # a call has the name of its model


def made(
    mode=instructor.Mode.TOOLS, model=h.MODEL, key=h.KEY, url=h.URL, max_retries=0, text=h.HELLO, **fields
):
    client = instructor.from_openai(OpenAI(base_url=url, api_key=key, max_retries=max_retries), mode=mode)
    given = {"messages": h.user(text), "response_model": Weather, "max_retries": 1, **fields}
    return client.chat.completions.create(model=model, **given)


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


def usage():
    *_, last = whole(stream=True, stream_options={"include_usage": True})
    assert last.usage.completion_tokens == h.HELLO_TOKENS


def called(**fields):
    return whole(tools=[h.TOOL], **fields).choices[0].message


def auto():
    assert [call.function.name for call in called(text="one").tool_calls] == ["get_weather"]


def parallel():
    """Its calls are as many models."""
    cities = made(instructor.Mode.PARALLEL_TOOLS, text="both", response_model=Iterable[Call])
    assert [each.city for each in cities] == ["Bern", "Rome"]


def result():
    first = called(text="one")
    told = {"role": "tool", "tool_call_id": first.tool_calls[0].id, "content": "warm"}
    assert called(messages=[*h.user("one"), first.model_dump(), told]).content == h.WARM


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


def leave():
    parts = whole(text=h.LONG, stream=True)
    next(iter(parts))
    parts.close()


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
    {"lists no models": "list"},
    chat=chat,
    stream=stream,
    usage=usage,
    auto=auto,
    required=required,
    named=required,
    parallel=parallel,
    result=result,
    schema=schema,
    stop=stop,
    logprobs=logprobs,
    n=several,
    seed=seed,
    cancel=h.stops(leave),
    wrong_key=h.wrong_key(lambda: made(key=h.WRONG_KEY)),
    wrong_model=h.wrong_model(lambda: made(model=h.WRONG_MODEL)),
    retry=retry,
    asynchronous=asynchronous,
)
