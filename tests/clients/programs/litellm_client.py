"""LiteLLM."""

import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # its prices, and not from the network
import harness as h
import litellm


def ask(text=h.HELLO, messages=None, key=h.KEY, model=h.MODEL, url=h.URL, max_retries=0, **fields):
    return litellm.completion(
        model=f"openai/{model}",
        api_base=url,
        api_key=key,
        messages=messages or h.user(text),
        max_retries=max_retries,
        **fields,
    )


def said(*args, **fields):
    return ask(*args, **fields).choices[0].message.content


def names(text="x", **fields):
    message = ask(text, tools=[h.TOOL], **fields).choices[0].message
    return [call.function.name for call in message.tool_calls or ()]


def listed():
    models = litellm.get_valid_models(
        check_provider_endpoint=True, custom_llm_provider="openai", api_base=h.URL, api_key=h.KEY
    )
    assert any(h.MODEL in each for each in models), models


def chat():
    assert said() == h.HELLO


def stream():
    parts = [part.choices[0].delta.content or "" for part in ask(stream=True)]
    assert "".join(parts) == h.HELLO


def usage():
    *_, last = ask(stream=True, stream_options={"include_usage": True})
    assert last.usage.completion_tokens == h.HELLO_TOKENS


def result():
    message = ask("one", tools=[h.TOOL]).choices[0].message
    call = message.tool_calls[0]
    told = {"role": "tool", "name": call.function.name, "tool_call_id": call.id, "content": "warm"}
    assert said(messages=[*h.user("one"), message, told], tools=[h.TOOL]) == h.WARM


def auto():
    assert names("one") == ["get_weather"]


def required():
    assert names(tool_choice="required") == ["get_weather"]


def named():
    assert names(tool_choice=h.NAMED) == ["get_weather"]


def parallel():
    assert names("both", parallel_tool_calls=True) == ["get_weather"] * 2


def schema():
    assert '"city"' in said("x", response_format=h.RESPONSE_FORMAT)


def stop():
    assert said(h.STOPPED, stop=[h.STOP]) == h.BEFORE_STOP


def logprobs():
    scores = ask(logprobs=True, top_logprobs=2).choices[0].logprobs.content
    assert len(scores) >= len(h.HELLO)


def several():
    assert len(ask(n=3).choices) == 3


def seed():
    assert said(h.WHICH_SEED, seed=h.SEED) == str(h.SEED)


async def leave():
    parts = await litellm.acompletion(
        model=f"openai/{h.MODEL}", api_base=h.URL, api_key=h.KEY, messages=h.user(h.LONG), stream=True
    )
    assert (await anext(parts)).choices
    await parts.aclose()


def retry():
    assert said(url=h.BUSY_URL, max_retries=8) == h.HELLO


async def asynchronous():
    answer = await litellm.acompletion(
        model=f"openai/{h.MODEL}", api_base=h.URL, api_key=h.KEY, messages=h.user(h.HELLO)
    )
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
    wrong_key=h.wrong_key(lambda: ask(key=h.WRONG_KEY)),
    wrong_model=h.wrong_model(lambda: ask(model=h.WRONG_MODEL)),
    retry=retry,
    asynchronous=asynchronous,
)
