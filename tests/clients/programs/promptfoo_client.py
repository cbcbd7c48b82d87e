"""promptfoo, by its command line: `promptfoo eval` over one prompt."""

import json
import os
import subprocess
from pathlib import Path

import harness as h
from command_line import SECONDS, leave_when

os.environ |= {"PROMPTFOO_DISABLE_TELEMETRY": "1", "PROMPTFOO_DISABLE_UPDATE": "1"}

COMMAND = ("promptfoo", "eval", "-c", "config.json", "--no-cache", "-o", "out.json")


def prepare(text=h.HELLO, model=h.MODEL, key=h.KEY, url=h.URL, retries=0, prompt="{{q}}", **config):
    """Write a configuration of one test."""
    provider = {
        "id": f"openai:chat:{model}",
        "config": {"apiBaseUrl": url, "apiKey": key, "maxRetries": retries, **config},
    }
    described = {"prompts": [prompt], "providers": [provider], "tests": [{"vars": {"q": text}}]}
    Path("config.json").write_text(json.dumps(described))
    Path("out.json").unlink(missing_ok=True)


def asked(*args, **fields):
    """What it wrote of the one test: its response, or its error."""
    prepare(*args, **fields)
    done = subprocess.run(COMMAND, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert Path("out.json").exists(), (done.stdout + done.stderr)[-1500:]
    (result,) = json.loads(Path("out.json").read_text())["results"]["results"]
    return result


def said(*args, **fields):
    result = asked(*args, **fields)
    assert not result.get("error"), result["error"]
    return result["response"]["output"]


def names(text="x", **config):
    return [call["function"]["name"] for call in said(text, tools=[h.TOOL], **config)]


def says(message, **fields):
    error = asked(**fields)["error"]
    assert message in error, error


def chat():
    assert said() == h.HELLO


def auto():
    assert names("one") == ["get_weather"]


def required():
    assert names(tool_choice="required") == ["get_weather"]


def named():
    assert names(tool_choice=h.NAMED) == ["get_weather"]


def parallel():
    assert names("both") == ["get_weather"] * 2


def result():
    (call,) = said("one", tools=[h.TOOL])
    first = {"role": "assistant", "content": None, "tool_calls": [call]}
    told = {"role": "tool", "tool_call_id": call["id"], "content": "warm"}
    conversation = json.dumps([*h.user("one"), first, told])
    assert said(prompt=conversation, tools=[h.TOOL]) == h.WARM


def schema():
    answer = said("x", response_format=h.RESPONSE_FORMAT)
    assert "city" in (json.loads(answer) if isinstance(answer, str) else answer)


def stop():
    assert said(h.STOPPED, stop=[h.STOP]) == h.BEFORE_STOP


def logprobs():
    response = asked(passthrough={"logprobs": True})["response"]
    assert response["output"] == h.HELLO
    assert response.get("logProbs"), list(response)


def seed():
    assert str(said(h.WHICH_SEED, seed=h.SEED)) == str(h.SEED)


def leave():
    prepare(h.LONG)
    leave_when(COMMAND, lambda _: h.wait_until_running())


def retry():
    assert said(url=h.BUSY_URL, retries=8) == h.HELLO


h.run(
    {
        "lists no models": "list",
        "waits for the whole answer": "stream usage",
        "keeps the first answer": "n",
        "has no such form": "asynchronous",
    },
    chat=chat,
    auto=auto,
    required=required,
    named=named,
    parallel=parallel,
    result=result,
    schema=schema,
    stop=stop,
    logprobs=logprobs,
    seed=seed,
    cancel=h.stops(leave),
    wrong_key=lambda: says("not valid", key=h.WRONG_KEY),
    wrong_model=lambda: says("does not exist", model=h.WRONG_MODEL),
    retry=retry,
)
