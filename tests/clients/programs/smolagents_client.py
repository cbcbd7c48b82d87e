"""smolagents' OpenAIModel."""

import harness as h
from smolagents import ChatMessage, OpenAIModel, tool

weather = tool(h.get_weather)


def model(name=h.MODEL, key=h.KEY, url=h.URL, max_retries=0, **fields):
    return OpenAIModel(
        model_id=name, api_base=url, api_key=key, client_kwargs={"max_retries": max_retries}, **fields
    )


def said(text):
    return [ChatMessage(role="user", content=[{"type": "text", "text": text}])]


def asked(text=h.HELLO, made=None, **fields):
    return (made or model()).generate(said(text), **fields)


def names(text="x", **fields):
    answer = asked(text, tools_to_call_from=[weather], **fields)
    return [call.function.name for call in answer.tool_calls]


def chat():
    assert asked().content == h.HELLO


def stream():
    assert "".join(part.content or "" for part in model().generate_stream(said(h.HELLO))) == h.HELLO


def usage():
    *_, last = (part for part in model().generate_stream(said(h.HELLO)) if part.token_usage)
    assert last.token_usage.output_tokens == h.HELLO_TOKENS


def auto():
    assert names("one", tool_choice="auto") == ["get_weather"]


def required():
    assert names() == ["get_weather"]


def named():
    assert names(tool_choice=h.NAMED) == ["get_weather"]


def parallel():
    assert names("both", tool_choice="auto") == ["get_weather"] * 2


def schema():
    assert '"city"' in asked("x", response_format=h.RESPONSE_FORMAT).content


def stop():
    assert asked(h.STOPPED, stop_sequences=[h.STOP]).content == h.BEFORE_STOP


def logprobs():
    assert asked(logprobs=True).raw.choices[0].logprobs.content


def several():
    assert len(asked(n=3).raw.choices) == 3


def seed():
    assert asked(h.WHICH_SEED, seed=h.SEED).content == str(h.SEED)


def leave():
    parts = model().generate_stream(said(h.LONG))
    next(parts)
    parts.close()


def retry():
    assert asked(made=model(url=h.BUSY_URL, max_retries=8)).content == h.HELLO


h.run(
    {
        "lists no models": "list",
        "tells results to the model as text": "result",
        "has no such form": "asynchronous",
    },
    chat=chat,
    stream=stream,
    usage=usage,
    auto=auto,
    required=required,
    named=named,
    parallel=parallel,
    schema=schema,
    stop=stop,
    logprobs=logprobs,
    n=several,
    seed=seed,
    cancel=h.stops(leave),
    wrong_key=h.wrong_key(lambda: asked(made=model(key=h.WRONG_KEY))),
    wrong_model=h.wrong_model(lambda: asked(made=model(name=h.WRONG_MODEL))),
    retry=retry,
)
