"""Haystack's OpenAIChatGenerator."""

import harness as h
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.tools import create_tool_from_function
from haystack.utils import Secret
from pydantic import BaseModel


class Weather(BaseModel):
    city: str


tool = create_tool_from_function(h.get_weather)


def generator(model=h.MODEL, key=h.KEY, url=h.URL, max_retries=0, **fields):
    return OpenAIChatGenerator(
        model=model, api_base_url=url, api_key=Secret.from_token(key), max_retries=max_retries, **fields
    )


def replies(text=h.HELLO, given=None, **fields):
    return generator(generation_kwargs=given, **fields).run([ChatMessage.from_user(text)])["replies"]


def reply(*args, **fields):
    return replies(*args, **fields)[0]


def names(text="x", **given):
    return [call.tool_name for call in reply(text, given, tools=[tool]).tool_calls]


def chat():
    assert reply().text == h.HELLO


def stream():
    parts = []
    assert reply(streaming_callback=lambda chunk: parts.append(chunk.content)).text == h.HELLO
    assert "".join(part or "" for part in parts) == h.HELLO


def usage():
    given = {"stream_options": {"include_usage": True}}
    told = reply(given=given, streaming_callback=lambda _: None).meta["usage"]
    assert told["completion_tokens"] == h.HELLO_TOKENS


def auto():
    assert names("one") == ["get_weather"]


def required():
    assert names(tool_choice="required") == ["get_weather"]


def named():
    assert names(tool_choice=h.NAMED) == ["get_weather"]


def parallel():
    assert names("both") == ["get_weather"] * 2


def result():
    first = reply("one", tools=[tool])
    told = ChatMessage.from_tool("warm", origin=first.tool_calls[0])
    again = generator(tools=[tool]).run([ChatMessage.from_user("one"), first, told])["replies"][0]
    assert again.text == h.WARM


def schema():
    Weather.model_validate_json(reply("x", {"response_format": Weather}).text)


def stop():
    assert reply(h.STOPPED, {"stop": [h.STOP]}).text == h.BEFORE_STOP


def logprobs():
    assert reply(given={"logprobs": True}).meta["logprobs"]


def several():
    assert len(replies(given={"n": 3})) == 3


def seed():
    assert reply(h.WHICH_SEED, {"seed": h.SEED}).text == str(h.SEED)


def leave():
    class Enough(Exception):
        pass

    def enough(_):
        raise Enough

    try:
        reply(h.LONG, streaming_callback=enough)
    except Enough:
        return


def retry():
    assert reply(url=h.BUSY_URL, max_retries=8).text == h.HELLO


async def asynchronous():
    answer = await generator().run_async([ChatMessage.from_user(h.HELLO)])
    assert answer["replies"][0].text == h.HELLO


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
    wrong_key=h.wrong_key(lambda: reply(key=h.WRONG_KEY)),
    wrong_model=h.wrong_model(lambda: reply(model=h.WRONG_MODEL)),
    retry=retry,
    asynchronous=asynchronous,
)
