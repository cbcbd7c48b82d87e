"""LangChain's ChatOllama, over /api/chat."""

import harness as h
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_ollama import ChatOllama
from pydantic import BaseModel


class Weather(BaseModel):
    city: str


def model(name=h.MODEL, key=h.KEY, url=h.URL, **fields):
    headers = {"Authorization": f"Bearer {key}"}
    host = url.removesuffix("/v1")
    return ChatOllama(model=name, base_url=host, client_kwargs={"headers": headers}, **fields)


def names(text):
    return [call["name"] for call in model().bind_tools([h.get_weather]).invoke(text).tool_calls]


def chat():
    assert model().invoke(h.HELLO).content == h.HELLO


def stream():
    assert "".join(part.text for part in model().stream(h.HELLO)) == h.HELLO


def usage():
    told = [part.usage_metadata for part in model().stream(h.HELLO) if part.usage_metadata]
    assert told[-1]["output_tokens"] == h.HELLO_TOKENS


def auto():
    assert names("one") == ["get_weather"]


def parallel():
    assert names("both") == ["get_weather"] * 2


def result():
    bound = model().bind_tools([h.get_weather])
    first = bound.invoke("one")
    told = ToolMessage("warm", tool_call_id=first.tool_calls[0]["id"])
    assert bound.invoke([HumanMessage("one"), first, told]).text == h.WARM


def schema():
    assert isinstance(model().with_structured_output(Weather, method="json_schema").invoke("x"), Weather)


def stop():
    assert model(stop=[h.STOP]).invoke(h.STOPPED).content == h.BEFORE_STOP


def logprobs():
    assert model(logprobs=True).invoke(h.HELLO).response_metadata["logprobs"]


def seed():
    assert model(seed=h.SEED).invoke(h.WHICH_SEED).content == str(h.SEED)


def leave():
    parts = model().stream(h.LONG)
    next(parts)
    parts.close()


def retry():
    """LangChain's own: Ollama's client does not ask again."""
    again = model(url=h.BUSY_URL).with_retry(stop_after_attempt=8)
    assert again.invoke(h.HELLO).content == h.HELLO


async def asynchronous():
    assert (await model().ainvoke(h.HELLO)).content == h.HELLO


h.run(
    {"lists no models": "list", "Ollama's API has none": "required named n"},
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
    wrong_key=h.wrong_key(lambda: model(key=h.WRONG_KEY).invoke(h.HELLO)),
    wrong_model=h.wrong_model(lambda: model(name=h.WRONG_MODEL).invoke(h.HELLO)),
    retry=retry,
    asynchronous=asynchronous,
)
