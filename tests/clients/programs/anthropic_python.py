"""Anthropic's client for Python, over /v1/messages."""

import harness as h
from anthropic import Anthropic, AsyncAnthropic
from pydantic import BaseModel

HOST = h.URL.removesuffix("/v1")
TOOL = {"name": "get_weather", "description": "The weather of a city", "input_schema": h.SCHEMA}


class Weather(BaseModel):
    city: str


def client(key=h.KEY, url=h.URL, max_retries=0):
    return Anthropic(base_url=url.removesuffix("/v1"), api_key=key, max_retries=max_retries)


def ask(text=h.HELLO, made=None, model=h.MODEL, **fields):
    return (made or client()).messages.create(
        model=model, max_tokens=200, **{"messages": h.user(text), **fields}
    )


def names(text="x", **fields):
    return [block.name for block in ask(text, tools=[TOOL], **fields).content if block.type == "tool_use"]


def listed():
    assert h.MODEL in [model.id for model in client().models.list()]


def chat():
    assert ask().content[0].text == h.HELLO


def stream():
    with client().messages.stream(model=h.MODEL, max_tokens=200, messages=h.user(h.HELLO)) as parts:
        assert "".join(parts.text_stream) == h.HELLO


def usage():
    with client().messages.stream(model=h.MODEL, max_tokens=200, messages=h.user(h.HELLO)) as parts:
        assert parts.get_final_message().usage.output_tokens == h.HELLO_TOKENS


def auto():
    assert names("one") == ["get_weather"]


def required():
    assert names(tool_choice={"type": "any"}) == ["get_weather"]


def named():
    assert names(tool_choice={"type": "tool", "name": "get_weather"}) == ["get_weather"]


def parallel():
    assert names("both") == ["get_weather"] * 2


def result():
    first = ask("one", tools=[TOOL])
    told = {"type": "tool_result", "tool_use_id": first.content[-1].id, "content": "warm"}
    messages = [
        *h.user("one"),
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [told]},
    ]
    assert ask(messages=messages, tools=[TOOL]).content[0].text == h.WARM


def schema():
    answer = client().messages.parse(
        model=h.MODEL, max_tokens=200, messages=h.user("x"), output_format=Weather
    )
    assert isinstance(answer.parsed_output, Weather)


def stop():
    answer = ask(h.STOPPED, stop_sequences=[h.STOP])
    assert (answer.content[0].text, answer.stop_sequence) == (h.BEFORE_STOP, h.STOP)


def leave():
    with client().messages.stream(model=h.MODEL, max_tokens=60_000, messages=h.user(h.LONG)) as parts:
        next(iter(parts.text_stream))


def retry():
    assert ask(made=client(url=h.BUSY_URL, max_retries=8)).content[0].text == h.HELLO


async def asynchronous():
    async with AsyncAnthropic(base_url=HOST, api_key=h.KEY, max_retries=0) as made:
        answer = await made.messages.create(model=h.MODEL, max_tokens=200, messages=h.user(h.HELLO))
    assert answer.content[0].text == h.HELLO


h.run(
    {"Anthropic's API has none": "logprobs n seed"},
    list=listed,
    chat=chat,
    stream=stream,
    usage=usage,
    auto=auto,
    required=required,
    named=named,
    parallel=parallel,
    result=result,
    schema=schema,
    stop=stop,
    cancel=h.stops(leave),
    wrong_key=h.wrong_key(lambda: ask(made=client(key=h.WRONG_KEY))),
    wrong_model=h.wrong_model(lambda: ask(model=h.WRONG_MODEL)),
    retry=retry,
    asynchronous=asynchronous,
)
