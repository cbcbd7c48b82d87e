"""`llm`, by its Python API."""

import os
import pathlib
import tempfile

import harness as h

folder = pathlib.Path(tempfile.mkdtemp())
os.environ["LLM_USER_PATH"] = str(folder)
(folder / "extra-openai-models.yaml").write_text(
    "\n".join(
        f"- model_id: {name}\n  model_name: {model}\n  api_base: {url}\n"
        "  api_key_name: remora\n  supports_tools: true\n  supports_schema: true\n"
        for name, model, url in (
            ("remora", h.MODEL, h.URL),
            ("nobody", h.WRONG_MODEL, h.URL),
            ("busy", h.MODEL, h.BUSY_URL),
        )
    )
)
import llm  # noqa: E402 - it reads the variable when it is imported

called = []


def get_weather(city: str) -> str:
    """The weather of a city"""
    called.append(city)
    return "warm"


def asked(text=h.HELLO, name="remora", key=h.KEY, **fields):
    return llm.get_model(name).prompt(text, key=key, **fields)


def used(text):
    def case():
        called.clear()
        answer = llm.get_model("remora").chain(text, tools=[get_weather], key=h.KEY).text()
        assert len(called) == (2 if text == "both" else 1), called
        assert answer.strip().endswith(h.WARM), answer

    return case


def chat():
    assert asked(stream=False).text() == h.HELLO


def stream():
    assert "".join(asked()) == h.HELLO


def usage():
    answer = asked()
    answer.text()
    assert answer.usage().output == h.HELLO_TOKENS


def schema():
    assert '"city"' in asked("x", schema=h.SCHEMA).text()


def stop():
    assert asked(h.STOPPED, stop=h.STOP).text() == h.BEFORE_STOP


def seed():
    assert asked(h.WHICH_SEED, seed=h.SEED).text() == str(h.SEED)


def leave():
    parts = iter(asked(h.LONG))
    next(parts)
    parts.close()


def retry():
    assert asked(name="busy").text() == h.HELLO


async def asynchronous():
    assert await llm.get_async_model("remora").prompt(h.HELLO, key=h.KEY).text() == h.HELLO


h.run(
    {"lists only models of its own file": "list", h.NO_OPTION: "required named n logprobs"},
    chat=chat,
    stream=stream,
    usage=usage,
    auto=used("one"),
    parallel=used("both"),
    result=used("one"),
    schema=schema,
    stop=stop,
    seed=seed,
    cancel=h.stops(leave),
    wrong_key=h.wrong_key(lambda: asked(key=h.WRONG_KEY).text()),
    wrong_model=h.wrong_model(lambda: asked(name="nobody").text()),
    retry=retry,
    asynchronous=asynchronous,
)
