"""DSPy, which asks by LiteLLM."""

import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import dspy
import harness as h


def lm(model=h.MODEL, key=h.KEY, url=h.URL, num_retries=0, **fields):
    return dspy.LM(
        f"openai/{model}", api_base=url, api_key=key, cache=False, num_retries=num_retries, **fields
    )


def chat():
    assert lm()(h.HELLO) == [h.HELLO]


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


def schema():
    (answer,) = lm(response_format=h.RESPONSE_FORMAT)("x")
    assert '"city"' in answer


def retry():
    assert lm(url=h.BUSY_URL, num_retries=8)(h.HELLO) == [h.HELLO]


async def asynchronous():
    assert await lm().acall(h.HELLO) == [h.HELLO]


h.run(
    {
        "lists no models": "list",
        "streams programs, and not its LM": "stream usage cancel",
        "its programs ask again, and not its LM": "result",
    },
    chat=chat,
    auto=auto,
    required=required,
    named=named,
    parallel=parallel,
    schema=schema,
    stop=stop,
    logprobs=logprobs,
    n=several,
    seed=seed,
    wrong_key=h.wrong_key(lambda: lm(key=h.WRONG_KEY)(h.HELLO)),
    wrong_model=h.wrong_model(lambda: lm(model=h.WRONG_MODEL)(h.HELLO)),
    retry=retry,
    asynchronous=asynchronous,
)
