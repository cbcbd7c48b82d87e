"""Microsoft's Agent Framework, over chat completions."""

import harness as h
from agent_framework import Agent
from agent_framework.openai import OpenAIChatCompletionClient
from openai import AsyncOpenAI
from pydantic import BaseModel

called = []


class Weather(BaseModel):
    city: str


def get_weather(city: str) -> str:
    """The weather of a city."""
    called.append(city)
    return "warm"


def agent(model=h.MODEL, key=h.KEY, url=h.URL, max_retries=0, **fields):
    made = AsyncOpenAI(base_url=url, api_key=key, max_retries=max_retries)
    return Agent(client=OpenAIChatCompletionClient(model=model, async_client=made), name="helper", **fields)


async def asked(text=h.HELLO, options=None, **fields):
    return await agent(**fields).run(text, options=options)


def used(text, **options):
    async def case():
        called.clear()
        answer = await asked(text, options or None, tools=[get_weather])
        assert len(called) == (2 if text == "both" else 1), called
        assert options or answer.text.endswith(h.WARM)

    return case


async def chat():
    assert (await asked()).text == h.HELLO


async def stream():
    assert "".join([part.text async for part in agent().run(h.HELLO, stream=True)]) == h.HELLO


async def usage():
    stream = agent().run(h.HELLO, stream=True)
    async for _ in stream:
        pass
    told = (await stream.get_final_response()).usage_details
    assert told["output_token_count"] == h.HELLO_TOKENS


async def schema():
    answer = await asked("x", {"response_format": Weather})
    assert isinstance(answer.value, Weather)


async def stop():
    assert (await asked(h.STOPPED, {"stop": [h.STOP]})).text == h.BEFORE_STOP


async def logprobs():
    answer = await asked(options={"logprobs": True})
    assert answer.text == h.HELLO


async def seed():
    assert (await asked(h.WHICH_SEED, {"seed": h.SEED})).text == str(h.SEED)


async def leave():
    stream = agent().run(h.LONG, stream=True)
    async for _ in stream:
        break
    if hasattr(stream, "aclose"):
        await stream.aclose()


async def retry():
    assert (await asked(url=h.BUSY_URL, max_retries=8)).text == h.HELLO


h.run(
    {"lists no models": "list", "keeps the first answer": "n"},
    chat=chat,
    stream=stream,
    usage=usage,
    auto=used("one"),
    required=used("x", tool_choice="required"),
    named=used("x", tool_choice={"mode": "required", "required_function_name": "get_weather"}),
    parallel=used("both"),
    result=used("one"),
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
