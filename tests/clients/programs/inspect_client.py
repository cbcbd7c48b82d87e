"""inspect-ai's model interface."""

import harness as h
from inspect_ai.model import ChatMessageTool, ChatMessageUser, GenerateConfig, ResponseSchema, get_model
from inspect_ai.tool import ToolFunction, tool
from inspect_ai.util import json_schema
from pydantic import BaseModel


class Weather(BaseModel):
    city: str


@tool
def get_weather():
    async def execute(city: str):
        """The weather of a city.

        Args:
            city: Which city.
        """
        return "warm" if city else ""

    return execute


def model(name=h.MODEL, key=h.KEY, url=h.URL, max_retries=0, **config):
    given = GenerateConfig(max_retries=max_retries, **config)
    return get_model(f"openai-api/remora/{name}", base_url=url, api_key=key, config=given)


async def asked(text=h.HELLO, **fields):
    return await model(**fields).generate(text)


async def said(*args, **fields):
    return (await asked(*args, **fields)).completion


async def calls(text="x", choice="auto", **fields):
    return (
        await model(**fields).generate(text, tools=[get_weather()], tool_choice=choice)
    ).message.tool_calls


async def chat():
    assert await said() == h.HELLO


async def streamed():
    """The parts of an answer, and all of it."""
    parts = []

    async def see(part):
        parts.append(part)

    answer = await model().generate(h.HELLO, on_stream=see)
    return parts, answer


async def stream():
    parts, answer = await streamed()
    assert "".join(part.text for part in parts if part.type == "text") == answer.completion == h.HELLO


async def usage():
    _, answer = await streamed()
    assert answer.usage.output_tokens == h.HELLO_TOKENS


async def auto():
    assert (await calls("one"))[0].arguments == {"city": "Bern"}


async def required():
    assert await calls(choice="any")


async def named():
    assert await calls(choice=ToolFunction("get_weather"))


async def parallel():
    assert len(await calls("both", parallel_tool_calls=True)) == 2


async def result():
    first = (await model().generate("one", tools=[get_weather()])).message
    told = ChatMessageTool(content="warm", tool_call_id=first.tool_calls[0].id, function="get_weather")
    answer = await model().generate([ChatMessageUser(content="one"), first, told], tools=[get_weather()])
    assert answer.completion == h.WARM


async def schema():
    form = ResponseSchema(name="weather", json_schema=json_schema(Weather))
    Weather.model_validate_json(await said("x", response_schema=form))


async def stop():
    assert await said(h.STOPPED, stop_seqs=[h.STOP]) == h.BEFORE_STOP


async def logprobs():
    assert (await asked(logprobs=True, top_logprobs=2)).choices[0].logprobs.content


async def several():
    assert len((await asked(num_choices=3)).choices) == 3


async def seed():
    assert await said(h.WHICH_SEED, seed=h.SEED) == str(h.SEED)


async def retry():
    assert await said(url=h.BUSY_URL, max_retries=8) == h.HELLO


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
    cancel=h.stops(lambda: h.cancelled(said(h.LONG))),
    wrong_key=h.wrong_key(lambda: said(key=h.WRONG_KEY)),
    wrong_model=h.wrong_model(lambda: said(name=h.WRONG_MODEL)),
    retry=retry,
    asynchronous=chat,
)
