"""AutoGen: an agent, whose messages have names."""

import harness as h
from autogen_agentchat.agents import AssistantAgent
from autogen_core.models import ModelInfo, UserMessage
from autogen_core.tools import FunctionTool
from autogen_ext.models.openai import OpenAIChatCompletionClient
from pydantic import BaseModel


class Weather(BaseModel):
    city: str


tool = FunctionTool(h.get_weather, description="The weather of a city", strict=True)


def client(model=h.MODEL, key=h.KEY, url=h.URL, max_retries=0, **fields):
    info = ModelInfo(
        vision=False, function_calling=True, json_output=True, family="unknown", structured_output=True
    )
    return OpenAIChatCompletionClient(
        model=model, base_url=url, api_key=key, model_info=info, max_retries=max_retries, **fields
    )


def said(text=h.HELLO):
    return [UserMessage(content=text, source="user")]


async def asked(text=h.HELLO, model=h.MODEL, key=h.KEY, url=h.URL, max_retries=0, **fields):
    return await client(model, key, url, max_retries).create(said(text), **fields)


async def given(text, **fields):
    return (await asked(text, extra_create_args=fields)).content


async def chat():
    result = await AssistantAgent("helper", client()).run(task=h.HELLO)
    assert result.messages[-1].content == h.HELLO


async def stream():
    agent = AssistantAgent("helper", client(), model_client_stream=True)
    pieces = [
        event.content
        async for event in agent.run_stream(task=h.HELLO)
        if type(event).__name__ == "ModelClientStreamingChunkEvent"
    ]
    assert "".join(pieces) == h.HELLO


async def usage():
    parts = [part async for part in client().create_stream(said(), include_usage=True)]
    assert parts[-1].usage.completion_tokens == h.HELLO_TOKENS


async def auto():
    agent = AssistantAgent("helper", client(), tools=[h.get_weather], reflect_on_tool_use=True)
    result = await agent.run(task="one")
    assert result.messages[-1].content == h.WARM


async def required():
    assert (await asked("x", tools=[tool], tool_choice="required")).content[0].name == "get_weather"


async def named():
    assert (await asked("x", tools=[tool], tool_choice=tool)).content[0].name == "get_weather"


async def parallel():
    assert len((await asked("both", tools=[tool])).content) == 2


async def schema():
    Weather.model_validate_json((await asked("x", json_output=Weather)).content)


async def stop():
    assert await given(h.STOPPED, stop=[h.STOP]) == h.BEFORE_STOP


async def logprobs():
    answer = await asked(extra_create_args={"logprobs": True, "top_logprobs": 2})
    assert len(answer.logprobs) >= len(h.HELLO)


async def seed():
    assert await given(h.WHICH_SEED, seed=h.SEED) == str(h.SEED)


async def leave():
    parts = client().create_stream(said(h.LONG))
    await anext(parts)
    await parts.aclose()


async def retry():
    assert (await asked(url=h.BUSY_URL, max_retries=8)).content == h.HELLO


h.run(
    {"lists no models": "list", "keeps the first answer": "n"},
    chat=chat,
    stream=stream,
    usage=usage,
    auto=auto,
    required=required,
    named=named,
    parallel=parallel,
    result=auto,
    schema=schema,
    stop=stop,
    logprobs=logprobs,
    seed=seed,
    cancel=h.stops(leave),
    wrong_key=h.wrong_key(lambda: asked(key=h.WRONG_KEY)),
    wrong_model=h.wrong_model(lambda: asked(model=h.WRONG_MODEL)),
    retry=retry,
    asynchronous=chat,
)
