"""openai-agents, over the Responses API."""

import harness as h
from agents import Agent, ModelSettings, OpenAIResponsesModel, Runner, function_tool, set_tracing_disabled
from openai import AsyncOpenAI
from pydantic import BaseModel

set_tracing_disabled(True)
called = []


class Weather(BaseModel):
    city: str


@function_tool
def get_weather(city: str) -> str:
    """The weather of a city"""
    called.append(city)
    return "warm"


def agent(model=h.MODEL, key=h.KEY, url=h.URL, max_retries=0, settings=None, **fields):
    client = AsyncOpenAI(base_url=url, api_key=key, max_retries=max_retries)
    return Agent(
        "helper",
        model=OpenAIResponsesModel(model, client),
        model_settings=ModelSettings(**(settings or {})),
        **fields,
    )


async def asked(text=h.HELLO, **fields):
    return (await Runner.run(agent(**fields), text)).final_output


def used(text="x", behaviour="stop_on_first_tool", **settings):
    async def case():
        called.clear()
        output = await asked(text, tools=[get_weather], tool_use_behavior=behaviour, settings=settings)
        assert len(called) == (2 if text == "both" else 1), called
        assert output == (h.WARM if behaviour == "run_llm_again" else "warm"), output

    return case


async def chat():
    assert await asked() == h.HELLO


async def stream():
    run = Runner.run_streamed(agent(), h.HELLO)
    parts = [event.data async for event in run.stream_events() if event.type == "raw_response_event"]
    texts = [part.delta for part in parts if part.type == "response.output_text.delta"]
    assert "".join(texts) == h.HELLO


async def usage():
    run = Runner.run_streamed(agent(), h.HELLO)
    async for _ in run.stream_events():
        pass
    assert run.context_wrapper.usage.output_tokens == h.HELLO_TOKENS


async def schema():
    assert isinstance(await asked("x", output_type=Weather), Weather)


async def logprobs():
    run = await Runner.run(agent(settings={"top_logprobs": 2}), h.HELLO)
    assert run.raw_responses[0].output[0].content[0].logprobs


async def leave():
    run = Runner.run_streamed(agent(), h.LONG)
    async for event in run.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            run.cancel()


async def retry():
    assert await asked(url=h.BUSY_URL, max_retries=8) == h.HELLO


h.run(
    {"lists no models": "list", "the Responses API has none": "n stop seed"},
    chat=chat,
    stream=stream,
    usage=usage,
    auto=used("one", "run_llm_again"),
    required=used(tool_choice="required"),
    named=used(tool_choice="get_weather"),
    parallel=used("both", "run_llm_again", parallel_tool_calls=True),
    result=used("one", "run_llm_again"),
    schema=schema,
    logprobs=logprobs,
    cancel=h.stops(leave),
    wrong_key=h.wrong_key(lambda: asked(key=h.WRONG_KEY)),
    wrong_model=h.wrong_model(lambda: asked(model=h.WRONG_MODEL)),
    retry=retry,
    asynchronous=chat,
)
