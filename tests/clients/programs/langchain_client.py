"""LangChain's ChatOpenAI."""

import harness as h
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel


class Weather(BaseModel):
    city: str


weather = tool(h.get_weather)


def model(name=h.MODEL, key=h.KEY, url=h.URL, max_retries=0, **fields):
    return ChatOpenAI(model=name, base_url=url, api_key=key, max_retries=max_retries, **fields)


def names(text="x", **fields):
    return [call["name"] for call in model().bind_tools([weather], **fields).invoke(text).tool_calls]


def chat():
    assert model().invoke(h.HELLO).content == h.HELLO


def stream():
    assert "".join(part.text for part in model().stream(h.HELLO)) == h.HELLO


def usage():
    told = [part.usage_metadata for part in model(stream_usage=True).stream(h.HELLO) if part.usage_metadata]
    assert told[-1]["output_tokens"] == h.HELLO_TOKENS


def auto():
    assert names("one") == ["get_weather"]


def required():
    assert names(tool_choice="required") == ["get_weather"]


def named():
    assert names(tool_choice="get_weather") == ["get_weather"]


def parallel():
    assert names("both", parallel_tool_calls=True) == ["get_weather"] * 2


def result():
    bound = model().bind_tools([weather])
    message = bound.invoke("one")
    results = [weather.invoke(call) for call in message.tool_calls]
    assert bound.invoke([HumanMessage("one"), message, *results]).content == h.WARM


def schema():
    assert isinstance(model().with_structured_output(Weather, method="json_schema").invoke("x"), Weather)


def stop():
    assert model().invoke(h.STOPPED, stop=[h.STOP]).content == h.BEFORE_STOP


def logprobs():
    scores = model(logprobs=True, top_logprobs=2).invoke(h.HELLO).response_metadata["logprobs"]["content"]
    assert len(scores) >= len(h.HELLO)


def several():
    assert len(model(n=3).generate([[HumanMessage(h.HELLO)]]).generations[0]) == 3


def seed():
    assert model(seed=h.SEED).invoke(h.WHICH_SEED).content == str(h.SEED)


def leave():
    parts = model().stream(h.LONG)
    next(parts)
    parts.close()


def retry():
    assert model(url=h.BUSY_URL, max_retries=8).invoke(h.HELLO).content == h.HELLO


async def asynchronous():
    assert (await model().ainvoke(h.HELLO)).content == h.HELLO


h.run(
    {"lists no models": "list"},
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
    wrong_key=h.wrong_key(lambda: model(key=h.WRONG_KEY).invoke(h.HELLO)),
    wrong_model=h.wrong_model(lambda: model(name=h.WRONG_MODEL).invoke(h.HELLO)),
    retry=retry,
    asynchronous=asynchronous,
)
