"""openai-python."""

import json

import harness as h
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel


class Weather(BaseModel):
    city: str


OTHER = {
    "type": "function",
    "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}},
}


def client(key=h.KEY, url=h.URL, max_retries=0):
    return OpenAI(base_url=url, api_key=key, max_retries=max_retries)


def ask(text=h.HELLO, made=None, model=h.MODEL, **fields):
    return (made or client()).chat.completions.create(model=model, messages=h.user(text), **fields)


def said(**fields):
    return ask(**fields).choices[0].message.content


def called(text="x", **fields):
    calls = ask(text, tools=[h.TOOL, OTHER], **fields).choices[0].message.tool_calls
    return [(call.function.name, json.loads(call.function.arguments)) for call in calls]


def listed():
    assert h.MODEL in [model.id for model in client().models.list()]
    assert client().models.retrieve(h.MODEL).id == h.MODEL


def chat():
    assert said() == h.HELLO


def stream():
    parts = [part.choices[0].delta.content or "" for part in ask(stream=True)]
    assert "".join(parts) == h.HELLO


def usage():
    *_, last = ask(stream=True, stream_options={"include_usage": True})
    assert last.usage.completion_tokens == h.HELLO_TOKENS


def auto():
    assert called("one") == [("get_weather", {"city": "Bern"})]


def required():
    assert called(tool_choice="required")


def named():
    assert [name for name, _ in called(tool_choice=h.NAMED)] == ["get_weather"]


def parallel():
    assert [given["city"] for _, given in called("both", parallel_tool_calls=True)] == ["Bern", "Rome"]


def result():
    message = ask("one", tools=[h.TOOL, OTHER]).choices[0].message
    told = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "warm"}
    messages = [*h.user("one"), message, told]
    answer = client().chat.completions.create(model=h.MODEL, messages=messages, tools=[h.TOOL, OTHER])
    assert answer.choices[0].message.content == h.WARM


def schema():
    answer = client().chat.completions.parse(
        model=h.MODEL, messages=h.user("x"), response_format=Weather, max_tokens=200
    )
    assert isinstance(answer.choices[0].message.parsed, Weather)


def stop():
    assert said(text=h.STOPPED, stop=[h.STOP]) == h.BEFORE_STOP


def logprobs():
    scores = ask(logprobs=True, top_logprobs=2).choices[0].logprobs.content
    assert "".join(each.token for each in scores).startswith(h.HELLO)
    assert all(each.logprob < 0 and len(each.top_logprobs) == 2 for each in scores)


def several():
    assert [choice.message.content for choice in ask(n=3).choices] == [h.HELLO] * 3


def seed():
    assert said(text=h.WHICH_SEED, seed=h.SEED) == str(h.SEED)


def leave():
    with ask(h.LONG, stream=True) as parts:
        assert next(iter(parts)).choices


def retry():
    assert said(made=client(url=h.BUSY_URL, max_retries=8)) == h.HELLO


async def asynchronous():
    async with AsyncOpenAI(base_url=h.URL, api_key=h.KEY, max_retries=0) as made:
        answer = await made.chat.completions.create(model=h.MODEL, messages=h.user(h.HELLO))
    assert answer.choices[0].message.content == h.HELLO


h.run(
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
    logprobs=logprobs,
    n=several,
    seed=seed,
    cancel=h.stops(leave),
    wrong_key=h.wrong_key(lambda: ask(made=client(key=h.WRONG_KEY))),
    wrong_model=h.wrong_model(lambda: ask(model=h.WRONG_MODEL)),
    retry=retry,
    asynchronous=asynchronous,
)
