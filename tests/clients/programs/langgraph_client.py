"""LangGraph's ready-made agent, over chat completions."""

import harness as h
from langchain_openai import ChatOpenAI
from langgraph.prebuilt import create_react_agent
from pydantic import BaseModel


class Weather(BaseModel):
    city: str


def model(name=h.MODEL, key=h.KEY, url=h.URL, max_retries=0, **fields):
    return ChatOpenAI(model=name, base_url=url, api_key=key, max_retries=max_retries, **fields)


def agent(made=None, **fields):
    return create_react_agent(made or model(), [h.get_weather], **fields)


def said(text=h.HELLO):
    return {"messages": [{"role": "user", "content": text}]}


def answered(text=h.HELLO, **fields):
    return agent(model(**fields)).invoke(said(text))["messages"]


def chat():
    assert answered()[-1].content == h.HELLO


def stream():
    parts = agent().stream(said(), stream_mode="messages")
    assert "".join(part.text for part, _ in parts) == h.HELLO


def usage():
    parts = [part for part, _ in agent(model(stream_usage=True)).stream(said(), stream_mode="messages")]
    told = [part.usage_metadata for part in parts if part.usage_metadata]
    assert told[-1]["output_tokens"] == h.HELLO_TOKENS


def result():
    assert answered("one")[-1].content == h.WARM


def parallel():
    messages = answered("both")
    assert len(messages[1].tool_calls) == 2
    assert messages[-1].content == h.WARM


def forced(choice):
    """What it calls, where its agent stops before the tools: it would be forced to call again."""
    made = agent(model().bind_tools([h.get_weather], tool_choice=choice), interrupt_before=["tools"])
    return [call["name"] for call in made.invoke(said("x"))["messages"][-1].tool_calls]


def required():
    assert forced("required") == ["get_weather"]


def named():
    assert forced("get_weather") == ["get_weather"]


def schema():
    answer = agent(response_format=Weather).invoke(said())
    assert isinstance(answer["structured_response"], Weather)


def stop():
    assert answered(h.STOPPED, stop=[h.STOP])[-1].content == h.BEFORE_STOP


def logprobs():
    assert answered(logprobs=True)[-1].response_metadata["logprobs"]["content"]


def seed():
    assert answered(h.WHICH_SEED, seed=h.SEED)[-1].content == str(h.SEED)


async def leave():
    parts = agent().astream(said(h.LONG), stream_mode="messages")
    await anext(parts)
    await parts.aclose()


def retry():
    assert answered(url=h.BUSY_URL, max_retries=8)[-1].content == h.HELLO


async def asynchronous():
    assert (await agent().ainvoke(said()))["messages"][-1].content == h.HELLO


h.run(
    {"lists no models": "list", "its agent goes on with one answer": "n"},
    chat=chat,
    stream=stream,
    usage=usage,
    auto=result,
    required=required,
    named=named,
    parallel=parallel,
    result=result,
    schema=schema,
    stop=stop,
    logprobs=logprobs,
    seed=seed,
    cancel=h.stops(leave),
    wrong_key=h.wrong_key(lambda: answered(key=h.WRONG_KEY)),
    wrong_model=h.wrong_model(lambda: answered(name=h.WRONG_MODEL)),
    retry=retry,
    asynchronous=asynchronous,
)
