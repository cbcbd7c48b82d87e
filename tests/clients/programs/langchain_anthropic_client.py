"""LangChain's ChatAnthropic, over /v1/messages."""

import harness as h
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from pydantic import BaseModel


class Weather(BaseModel):
    city: str


def model(name=h.MODEL, key=h.KEY, url=h.URL, max_retries=0, max_tokens=200, **fields):
    host = url.removesuffix("/v1")
    return ChatAnthropic(
        model=name, base_url=host, api_key=key, max_tokens=max_tokens, max_retries=max_retries, **fields
    )


def names(text="x", **fields):
    return [call["name"] for call in model().bind_tools([h.get_weather], **fields).invoke(text).tool_calls]


def chat():
    assert model().invoke(h.HELLO).content == h.HELLO


def stream():
    assert "".join(part.text for part in model().stream(h.HELLO)) == h.HELLO


def usage():
    told = [part.usage_metadata for part in model().stream(h.HELLO) if part.usage_metadata]
    assert told[-1]["output_tokens"] == h.HELLO_TOKENS


def auto():
    assert names("one") == ["get_weather"]


def required():
    assert names(tool_choice="any") == ["get_weather"]


def named():
    assert names(tool_choice="get_weather") == ["get_weather"]


def parallel():
    assert names("both", parallel_tool_calls=True) == ["get_weather"] * 2


def result():
    bound = model().bind_tools([h.get_weather])
    first = bound.invoke("one")
    told = ToolMessage("warm", tool_call_id=first.tool_calls[0]["id"])
    assert bound.invoke([HumanMessage("one"), first, told]).text == h.WARM


def schema():
    assert isinstance(model().with_structured_output(Weather).invoke("x"), Weather)


def stop():
    assert model().invoke(h.STOPPED, stop=[h.STOP]).content == h.BEFORE_STOP


def leave():
    parts = model(max_tokens=60_000).stream(h.LONG)
    next(parts)
    parts.close()


def retry():
    assert model(url=h.BUSY_URL, max_retries=8).invoke(h.HELLO).content == h.HELLO


async def asynchronous():
    assert (await model().ainvoke(h.HELLO)).content == h.HELLO


h.run(
    {"lists no models": "list", "Anthropic's API has none": "logprobs n seed"},
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
    wrong_key=h.wrong_key(lambda: model(key=h.WRONG_KEY).invoke(h.HELLO)),
    wrong_model=h.wrong_model(lambda: model(name=h.WRONG_MODEL).invoke(h.HELLO)),
    retry=retry,
    asynchronous=asynchronous,
)
