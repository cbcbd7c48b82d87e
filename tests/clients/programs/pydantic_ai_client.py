"""pydantic-ai over chat completions."""

import harness as h
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, Tool
from pydantic_ai.direct import model_request_sync
from pydantic_ai.messages import ModelRequest, ToolCallPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


class City(BaseModel):
    name: str


def made(name=h.MODEL, key=h.KEY, url=h.URL, max_retries=0):
    client = AsyncOpenAI(base_url=url, api_key=key, max_retries=max_retries)
    return OpenAIChatModel(name, provider=OpenAIProvider(openai_client=client))


def agent(model=None, **fields):
    return Agent(model or made(), **fields)


def asked(text=h.HELLO, settings=None, **fields):
    return agent(**fields).run_sync(text, model_settings=settings)


def chat():
    assert asked().output == h.HELLO


async def stream():
    async with agent().run_stream(h.HELLO) as answer:
        assert "".join([part async for part in answer.stream_text(delta=True)]) == h.HELLO


async def usage():
    async with agent().run_stream(h.HELLO) as answer:
        await answer.get_output()
    told = answer.usage() if callable(answer.usage) else answer.usage
    assert told.output_tokens == h.HELLO_TOKENS


def calls(text):
    run = asked(text, tools=[h.get_weather])
    assert run.output == h.WARM
    parts = [part for message in run.all_messages() for part in message.parts]
    return [part for part in parts if isinstance(part, ToolCallPart)]


def auto():
    assert len(calls("one")) == 1


def parallel():
    assert len(calls("both")) == 2


def required():
    assert isinstance(asked("x", output_type=City).output.name, str)  # a call that it requires


def named():
    """One answer without an agent, which would be forced to call again."""
    given = ModelRequestParameters(function_tools=[Tool(h.get_weather).tool_def])
    answer = model_request_sync(
        made(),
        [ModelRequest.user_text_prompt("x")],
        model_settings={"tool_choice": ["get_weather"]},
        model_request_parameters=given,
    )
    assert [part.tool_name for part in answer.parts if isinstance(part, ToolCallPart)] == ["get_weather"]


def schema():
    assert isinstance(asked("x", output_type=NativeOutput(City)).output.name, str)


def stop():
    assert asked(h.STOPPED, {"stop_sequences": [h.STOP]}).output == h.BEFORE_STOP


def logprobs():
    answer = asked(settings={"openai_logprobs": True, "openai_top_logprobs": 2})
    (message,) = (each for each in answer.all_messages() if each.kind == "response")
    assert message.provider_details["logprobs"]


def seed():
    assert asked(h.WHICH_SEED, {"seed": h.SEED}).output == str(h.SEED)


async def leave():
    async with agent().run_stream(h.LONG) as answer:
        async for _ in answer.stream_text(delta=True):
            return


def retry():
    assert asked(model=made(url=h.BUSY_URL, max_retries=8)).output == h.HELLO


async def asynchronous():
    assert (await agent().run(h.HELLO)).output == h.HELLO


h.run(
    {"lists no models": "list", h.NO_OPTION: "n"},
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
    wrong_key=h.wrong_key(lambda: asked(model=made(key=h.WRONG_KEY))),
    wrong_model=h.wrong_model(lambda: asked(model=made(h.WRONG_MODEL))),
    retry=retry,
    asynchronous=asynchronous,
)
