"""pydantic-ai with its Anthropic model, over /v1/messages."""

import harness as h
from anthropic import AsyncAnthropic
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.messages import ToolCallPart
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.providers.anthropic import AnthropicProvider


class City(BaseModel):
    name: str


def agent(model=h.MODEL, key=h.KEY, url=h.URL, max_retries=0, **fields):
    client = AsyncAnthropic(base_url=url.removesuffix("/v1"), api_key=key, max_retries=max_retries)
    return Agent(AnthropicModel(model, provider=AnthropicProvider(anthropic_client=client)), **fields)


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


def schema():
    assert isinstance(asked("x", output_type=NativeOutput(City)).output.name, str)


def stop():
    assert asked(h.STOPPED, {"stop_sequences": [h.STOP]}).output == h.BEFORE_STOP


async def leave():
    async with agent(model_settings={"max_tokens": 60_000}).run_stream(h.LONG) as answer:
        async for _ in answer.stream_text(delta=True):
            return


def retry():
    assert asked(url=h.BUSY_URL, max_retries=8).output == h.HELLO


async def asynchronous():
    assert (await agent().run(h.HELLO)).output == h.HELLO


h.run(
    {
        "lists no models": "list",
        "forces any call or its output's": "named",
        "Anthropic's API has none": "n logprobs seed",
    },
    chat=chat,
    stream=stream,
    usage=usage,
    auto=auto,
    required=required,
    parallel=parallel,
    result=auto,
    schema=schema,
    stop=stop,
    cancel=h.stops(leave),
    wrong_key=h.wrong_key(lambda: asked(key=h.WRONG_KEY)),
    wrong_model=h.wrong_model(lambda: asked(model=h.WRONG_MODEL)),
    retry=retry,
    asynchronous=asynchronous,
)
