"""DSPy, which asks by LiteLLM."""

import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import dspy
import harness as h

# What the model says to a program, whose only field it is.
ANSWERED = f"[[ ## answer ## ]]\n{h.HELLO}\n\n[[ ## completed ## ]]"


def lm(model=h.MODEL, key=h.KEY, url=h.URL, num_retries=0, **fields):
    return dspy.LM(
        f"openai/{model}", api_base=url, api_key=key, cache=False, num_retries=num_retries, **fields
    )


def chat():
    assert lm()(h.HELLO) == [h.HELLO]


async def streamed():
    """Parts of a program's answer, and at last all of it."""
    program = dspy.streamify(dspy.Predict("question -> answer"))
    with dspy.context(lm=lm(), track_usage=True):
        return [part async for part in program(question="x")]


async def stream():
    *parts, last = await streamed()
    assert "".join(part.choices[0].delta.content or "" for part in parts) == ANSWERED
    assert last.answer == h.HELLO


async def usage():
    *_, last = await streamed()
    (told,) = last.get_lm_usage().values()
    assert told["completion_tokens"] == len(ANSWERED) + 1


def stop():
    assert lm(stop=[h.STOP])(h.STOPPED) == [h.BEFORE_STOP]


def logprobs():
    (answer,) = lm(logprobs=True)(h.HELLO)
    assert answer["logprobs"]


def several():
    assert lm(n=3, temperature=1.0)(h.HELLO) == [h.HELLO] * 3


def seed():
    assert lm(seed=h.SEED)(h.WHICH_SEED) == [str(h.SEED)]


def auto():
    (answer,) = lm()("one", tools=[h.TOOL])
    assert answer["tool_calls"][0].function.name == "get_weather"


def required():
    (answer,) = lm()("x", tools=[h.TOOL], tool_choice="required")
    assert answer["tool_calls"]


def named():
    (answer,) = lm()("x", tools=[h.TOOL], tool_choice=h.NAMED)
    assert answer["tool_calls"]


def parallel():
    (answer,) = lm()("both", tools=[h.TOOL])
    assert len(answer["tool_calls"]) == 2


def result():
    (first,) = lm()("one", tools=[h.TOOL])
    (call,) = [each.model_dump() for each in first["tool_calls"]]
    told = {"role": "tool", "tool_call_id": call["id"], "content": "warm"}
    calls = {"role": "assistant", "content": None, "tool_calls": [call]}
    assert lm()(messages=[*h.user("one"), calls, told], tools=[h.TOOL]) == [h.WARM]


def schema():
    (answer,) = lm(response_format=h.RESPONSE_FORMAT)("x")
    assert '"city"' in answer


def retry():
    assert lm(url=h.BUSY_URL, num_retries=8)(h.HELLO) == [h.HELLO]


async def asynchronous():
    assert await lm().acall(h.HELLO) == [h.HELLO]


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
    cancel=h.stops(lambda: h.cancelled(lm().acall(h.LONG))),
    wrong_key=h.wrong_key(lambda: lm(key=h.WRONG_KEY)(h.HELLO)),
    wrong_model=h.wrong_model(lambda: lm(model=h.WRONG_MODEL)(h.HELLO)),
    retry=retry,
    asynchronous=asynchronous,
)
