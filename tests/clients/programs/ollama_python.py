"""Ollama's client for Python, over /api."""

import harness as h
from ollama import AsyncClient, Client

HOST = h.URL.removesuffix("/v1")


def headers(key):
    return {"Authorization": f"Bearer {key}"}


def ask(text=h.HELLO, key=h.KEY, model=h.MODEL, **fields):
    messages = fields.pop("messages", None) or h.user(text)
    return Client(host=HOST, headers=headers(key)).chat(model=model, messages=messages, **fields)


def names(text):
    return [call.function.name for call in ask(text, tools=[h.get_weather]).message.tool_calls or ()]


def listed():
    models = Client(host=HOST, headers=headers(h.KEY)).list().models
    assert h.MODEL in [model.model.removesuffix(":latest") for model in models]


def chat():
    assert ask().message.content == h.HELLO


def stream():
    assert "".join(part.message.content for part in ask(stream=True)) == h.HELLO


def usage():
    *_, last = ask(stream=True)
    assert last.eval_count == h.HELLO_TOKENS


def auto():
    assert names("one") == ["get_weather"]


def parallel():
    assert names("both") == ["get_weather"] * 2


def result():
    first = ask("one", tools=[h.get_weather]).message
    told = {"role": "tool", "tool_name": "get_weather", "content": "warm"}
    answer = ask(messages=[*h.user("one"), first, told], tools=[h.get_weather])
    assert answer.message.content == h.WARM


def schema():
    assert '"city"' in ask("x", format=h.SCHEMA).message.content


def stop():
    assert ask(h.STOPPED, options={"stop": [h.STOP]}).message.content == h.BEFORE_STOP


def logprobs():
    assert ask(logprobs=True, top_logprobs=2).logprobs


def seed():
    assert ask(h.WHICH_SEED, options={"seed": h.SEED}).message.content == str(h.SEED)


def leave():
    parts = ask(h.LONG, stream=True)
    next(parts)
    parts.close()


async def asynchronous():
    answer = await AsyncClient(host=HOST, headers=headers(h.KEY)).chat(
        model=h.MODEL, messages=h.user(h.HELLO)
    )
    assert answer.message.content == h.HELLO


h.run(
    {"Ollama's API has none": "required named n", "does not ask again": "retry"},
    list=listed,
    chat=chat,
    stream=stream,
    usage=usage,
    auto=auto,
    parallel=parallel,
    result=result,
    schema=schema,
    stop=stop,
    logprobs=logprobs,
    seed=seed,
    cancel=h.stops(leave),
    wrong_key=h.wrong_key(lambda: ask(key=h.WRONG_KEY)),
    wrong_model=h.wrong_model(lambda: ask(model=h.WRONG_MODEL)),
    asynchronous=asynchronous,
)
