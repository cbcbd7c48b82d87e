"""LlamaIndex, with OpenAILike."""

import harness as h
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel


class Weather(BaseModel):
    city: str


tool = FunctionTool.from_defaults(h.get_weather)


def llm(model=h.MODEL, key=h.KEY, url=h.URL, max_retries=0, **fields):
    return OpenAILike(
        model=model,
        api_base=url,
        api_key=key,
        is_chat_model=True,
        is_function_calling_model=True,
        max_retries=max_retries,
        **fields,
    )


def asked(text=h.HELLO, **fields):
    return llm().chat([ChatMessage(role="user", content=text)], **fields)


def called(text="x", **fields):
    answer = llm().chat_with_tools([tool], user_msg=text, **fields)
    return [(call.tool_name, call.tool_kwargs["city"]) for call in llm().get_tool_calls_from_response(answer)]


def chat():
    assert asked().message.content == h.HELLO


def stream():
    assert "".join(part.delta or "" for part in llm().stream_complete(h.HELLO)) == h.HELLO


def usage():
    *_, last = llm().stream_complete(h.HELLO, stream_options={"include_usage": True})
    assert last.raw.usage.completion_tokens == h.HELLO_TOKENS


def auto():
    assert called("one") == [("get_weather", "Bern")]


def required():
    assert called(tool_required=True)


def named():
    assert called(tool_choice="get_weather")


def parallel():
    assert [city for _, city in called("both", allow_parallel_tool_calls=True)] == ["Bern", "Rome"]


def result():
    answer = llm().predict_and_call([tool], user_msg="one")
    assert str(answer) == "warm"
    first = llm().chat_with_tools([tool], user_msg="one").message
    (call,) = llm().get_tool_calls_from_response(type(asked())(message=first))
    told = ChatMessage(role="tool", content="warm", additional_kwargs={"tool_call_id": call.tool_id})
    history = [ChatMessage(role="user", content="one"), first, told]
    assert llm().chat_with_tools([tool], chat_history=history).message.content == h.WARM


def schema():
    made = llm(should_use_structured_outputs=True).as_structured_llm(Weather).complete("x")
    assert isinstance(made.raw, Weather)


def stop():
    assert asked(h.STOPPED, stop=[h.STOP]).message.content == h.BEFORE_STOP


def logprobs():
    answer = llm(logprobs=True, top_logprobs=2).chat([ChatMessage(role="user", content=h.HELLO)])
    assert len(answer.logprobs) >= len(h.HELLO)


def several():
    assert len(asked(n=3).raw.choices) == 3


def seed():
    assert asked(h.WHICH_SEED, seed=h.SEED).message.content == str(h.SEED)


def leave():
    parts = llm().stream_complete(h.LONG)
    next(parts)
    parts.close()


def retry():
    assert str(llm(url=h.BUSY_URL, max_retries=8).complete(h.HELLO)) == h.HELLO


async def asynchronous():
    assert str(await llm().acomplete(h.HELLO)) == h.HELLO


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
    wrong_key=h.wrong_key(lambda: llm(key=h.WRONG_KEY).complete(h.HELLO)),
    wrong_model=h.wrong_model(lambda: llm(model=h.WRONG_MODEL).complete(h.HELLO)),
    retry=retry,
    asynchronous=asynchronous,
)
