"""azure-ai-inference, sync and async."""

import harness as h
from azure.ai.inference import ChatCompletionsClient
from azure.ai.inference.aio import ChatCompletionsClient as AsyncClient
from azure.ai.inference.models import (
    AssistantMessage,
    ChatCompletionsNamedToolChoice,
    ChatCompletionsNamedToolChoiceFunction,
    ChatCompletionsToolChoicePreset,
    ChatCompletionsToolDefinition,
    FunctionDefinition,
    JsonSchemaFormat,
    ToolMessage,
    UserMessage,
)
from azure.core.credentials import AzureKeyCredential

TOOL = ChatCompletionsToolDefinition(function=FunctionDefinition(name="get_weather", parameters=h.SCHEMA))


def client(key=h.KEY, url=h.URL, retry_total=0):
    return ChatCompletionsClient(endpoint=url, credential=AzureKeyCredential(key), retry_total=retry_total)


def asked(text=h.HELLO, made=None, model=h.MODEL, messages=None, **fields):
    return (made or client()).complete(model=model, messages=messages or [UserMessage(text)], **fields)


def said(*args, **fields):
    return asked(*args, **fields).choices[0].message.content


def names(text="x", **fields):
    calls = asked(text, tools=[TOOL], **fields).choices[0].message.tool_calls
    return [call.function.name for call in calls]


def listed():
    assert client().get_model_info().model_name == h.MODEL


def chat():
    assert said() == h.HELLO


def stream():
    parts = asked(stream=True)
    assert "".join(part.choices[0].delta.content or "" for part in parts if part.choices) == h.HELLO


def usage():
    *_, last = asked(stream=True, model_extras={"stream_options": {"include_usage": True}})
    assert last.usage.completion_tokens == h.HELLO_TOKENS


def auto():
    assert names("one") == ["get_weather"]


def required():
    assert names(tool_choice=ChatCompletionsToolChoicePreset.REQUIRED) == ["get_weather"]


def named():
    function = ChatCompletionsNamedToolChoiceFunction(name="get_weather")
    assert names(tool_choice=ChatCompletionsNamedToolChoice(function=function)) == ["get_weather"]


def parallel():
    assert names("both") == ["get_weather"] * 2


def result():
    calls = asked("one", tools=[TOOL]).choices[0].message.tool_calls
    told = ToolMessage(content="warm", tool_call_id=calls[0].id)
    messages = [UserMessage("one"), AssistantMessage(tool_calls=calls), told]
    assert said(messages=messages, tools=[TOOL]) == h.WARM


def schema():
    form = JsonSchemaFormat(name="weather", schema=h.SCHEMA, strict=True)
    assert '"city"' in said("x", response_format=form)


def stop():
    assert said(h.STOPPED, stop=[h.STOP]) == h.BEFORE_STOP


def logprobs():
    assert asked(model_extras={"logprobs": True}).choices[0]["logprobs"]["content"]


def several():
    assert len(asked(model_extras={"n": 3}).choices) == 3


def seed():
    assert said(h.WHICH_SEED, seed=h.SEED) == str(h.SEED)


def leave():
    with asked(h.LONG, stream=True) as parts:
        next(iter(parts))


def retry():
    assert said(made=client(url=h.BUSY_URL, retry_total=8)) == h.HELLO


async def asynchronous():
    async with AsyncClient(endpoint=h.URL, credential=AzureKeyCredential(h.KEY)) as made:
        answer = await made.complete(model=h.MODEL, messages=[UserMessage(h.HELLO)])
    assert answer.choices[0].message.content == h.HELLO


h.run(
    list=listed,
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
    wrong_key=h.wrong_key(lambda: asked(made=client(key=h.WRONG_KEY))),
    wrong_model=h.wrong_model(lambda: asked(model=h.WRONG_MODEL)),
    retry=retry,
    asynchronous=asynchronous,
)
