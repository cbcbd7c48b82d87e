"""Semantic Kernel's chat service, with a plugin that it calls by itself."""

import harness as h
from openai import AsyncOpenAI
from pydantic import BaseModel
from semantic_kernel import Kernel
from semantic_kernel.connectors.ai.function_choice_behavior import FunctionChoiceBehavior
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion, OpenAIChatPromptExecutionSettings
from semantic_kernel.contents import ChatHistory, FunctionCallContent
from semantic_kernel.functions import kernel_function


class Weather(BaseModel):
    city: str


class Plugin:
    @kernel_function(name="get_weather", description="The weather of a city")
    def get_weather(self, city: str) -> str:
        return h.get_weather(city)


class TwoFunctions(Plugin):
    @kernel_function(name="forget", description="Comes before the other")
    def forget(self) -> str:
        return ""


def history(text):
    made = ChatHistory()
    made.add_user_message(text)
    return made


def service(model=h.MODEL, key=h.KEY, url=h.URL, max_retries=0):
    client = AsyncOpenAI(base_url=url, api_key=key, max_retries=max_retries)
    return OpenAIChatCompletion(ai_model_id=model, async_client=client)


async def asked(text=h.HELLO, made=None, kernel=None, **settings):
    return await (made or service()).get_chat_message_contents(
        history(text), OpenAIChatPromptExecutionSettings(**settings), kernel=kernel or Kernel()
    )


async def used(text, choice, plugin=Plugin):
    """The scripted model's name for the function is with its plugin, as the kernel names it."""
    kernel = Kernel()
    kernel.add_plugin(plugin(), "weather")
    (answer,) = await asked(text, kernel=kernel, function_choice_behavior=choice)
    return answer


def parts(text=h.HELLO, **settings):
    return service().get_streaming_chat_message_content(
        history(text), OpenAIChatPromptExecutionSettings(**settings), kernel=Kernel()
    )


async def chat():
    assert str((await asked())[0]) == h.HELLO


async def stream():
    assert "".join([str(part) async for part in parts()]) == h.HELLO


async def usage():
    told = [
        part.metadata.get("usage") async for part in parts(stream_options={"include_usage": True}) if part
    ]
    assert [each for each in told if each][-1].completion_tokens == h.HELLO_TOKENS


async def auto():
    assert str(await used("of a plugin", FunctionChoiceBehavior.Auto())) == h.WARM


async def names(text, choice, plugin=Plugin):
    answer = await used(text, choice, plugin)
    return [item.function_name for item in answer.items if isinstance(item, FunctionCallContent)]


async def required():
    assert await names("x", FunctionChoiceBehavior.Required(auto_invoke=False)) == ["get_weather"]


async def named():
    """A filter names the function that it requires."""
    filters = {"included_functions": ["weather-get_weather"]}
    choice = FunctionChoiceBehavior.Required(auto_invoke=False, filters=filters)
    assert await names("x", choice, TwoFunctions) == ["get_weather"]


async def parallel():
    choice = FunctionChoiceBehavior.Auto(auto_invoke=False)
    assert await names("both of a plugin", choice) == ["get_weather"] * 2


async def schema():
    Weather.model_validate_json(str((await asked("x", response_format=Weather))[0]))


async def stop():
    assert str((await asked(h.STOPPED, stop=[h.STOP]))[0]) == h.BEFORE_STOP


async def logprobs():
    (answer,) = await asked(extra_body={"logprobs": True})
    assert answer.metadata["logprobs"]


async def several():
    assert len(await asked(number_of_responses=3)) == 3


async def seed():
    assert str((await asked(h.WHICH_SEED, seed=h.SEED))[0]) == str(h.SEED)


async def leave():
    stream = parts(h.LONG)
    await anext(stream)
    await stream.aclose()


async def retry():
    assert str((await asked(made=service(url=h.BUSY_URL, max_retries=8)))[0]) == h.HELLO


h.run(
    {"lists no models": "list"},
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
    n=several,
    seed=seed,
    cancel=h.stops(leave),
    wrong_key=h.wrong_key(lambda: asked(made=service(key=h.WRONG_KEY))),
    wrong_model=h.wrong_model(lambda: asked(made=service(model=h.WRONG_MODEL))),
    retry=retry,
    asynchronous=chat,
)
