"""CrewAI's LLM."""

import os

os.environ |= {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "CREWAI_DISABLE_TELEMETRY": "true",
    "OTEL_SDK_DISABLED": "true",
}
import harness as h
from crewai import LLM
from pydantic import BaseModel

called = []


class Weather(BaseModel):
    city: str


def get_weather(city: str) -> str:
    called.append(city)
    return "warm"


def llm(model=h.MODEL, key=h.KEY, url=h.URL, max_retries=0, **fields):
    return LLM(model=model, provider="openai", base_url=url, api_key=key, max_retries=max_retries, **fields)


def said(text=h.HELLO, **fields):
    return llm(**fields).call(text)


def chat():
    assert said() == h.HELLO


def stream():
    assert llm(stream=True).call([{"role": "user", "content": h.HELLO}]) == h.HELLO


def usage():
    made = llm(stream=True)
    made.call(h.HELLO)
    assert made.get_token_usage_summary().completion_tokens == h.HELLO_TOKENS


def auto():
    called.clear()
    llm().call("one", tools=[h.TOOL], available_functions={"get_weather": get_weather})
    assert called == ["Bern"]


def asked(*messages):
    """Its calls, which it returns where it is given no functions; or its text."""
    return llm().call(list(messages), tools=[h.TOOL])


def parallel():
    assert [call.function.name for call in asked(*h.user("both"))] == ["get_weather"] * 2


def result():
    (call,) = asked(*h.user("one"))
    first = {"role": "assistant", "content": None, "tool_calls": [call.model_dump()]}
    told = {"role": "tool", "tool_call_id": call.id, "content": "warm"}
    assert asked(*h.user("one"), first, told) == h.WARM


def schema():
    assert isinstance(llm(response_format=Weather).call("x"), Weather)


def stop():
    assert said(h.STOPPED, stop=[h.STOP]) == h.BEFORE_STOP


def seed():
    assert said(h.WHICH_SEED, seed=h.SEED) == str(h.SEED)


def retry():
    assert said(url=h.BUSY_URL, max_retries=8) == h.HELLO


async def asynchronous():
    assert await llm().acall(h.HELLO) == h.HELLO


h.run(
    {
        "lists no models": "list",
        "always lets the model decide to call": "required named",
        "gives the text of the first answer only": "logprobs n",
    },
    chat=chat,
    stream=stream,
    usage=usage,
    auto=auto,
    parallel=parallel,
    result=result,
    schema=schema,
    stop=stop,
    seed=seed,
    cancel=h.stops(lambda: h.cancelled(llm(stream=True).acall(h.LONG))),
    wrong_key=h.wrong_key(lambda: said(key=h.WRONG_KEY)),
    wrong_model=h.wrong_model(lambda: said(model=h.WRONG_MODEL)),
    retry=retry,
    asynchronous=asynchronous,
)
