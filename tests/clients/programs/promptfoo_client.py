"""promptfoo, by its command line: `promptfoo eval` over one prompt."""

import json
import os
import subprocess
from pathlib import Path

import harness as h
from command_line import SECONDS

os.environ |= {"PROMPTFOO_DISABLE_TELEMETRY": "1", "PROMPTFOO_DISABLE_UPDATE": "1"}


def asked(text=h.HELLO, model=h.MODEL, key=h.KEY, url=h.URL, retries=0, **config):
    """What it wrote of the one test: its response, or its error."""
    provider = {
        "id": f"openai:chat:{model}",
        "config": {"apiBaseUrl": url, "apiKey": key, "maxRetries": retries, **config},
    }
    described = {"prompts": ["{{q}}"], "providers": [provider], "tests": [{"vars": {"q": text}}]}
    Path("config.json").write_text(json.dumps(described))
    Path("out.json").unlink(missing_ok=True)
    command = ["promptfoo", "eval", "-c", "config.json", "--no-cache", "-o", "out.json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
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


def retry():
    assert said(url=h.BUSY_URL, retries=8) == h.HELLO


h.run(
    {
        "lists no models": "list",
        "waits for the whole answer": "stream usage cancel",
        "asks once for each test": "result n",
        "has no such form": "asynchronous",
    },
    chat=chat,
    auto=auto,
    required=required,
    named=named,
    parallel=parallel,
    schema=schema,
    stop=stop,
    logprobs=logprobs,
    seed=seed,
    wrong_key=lambda: says("not valid", key=h.WRONG_KEY),
    wrong_model=lambda: says("does not exist", model=h.WRONG_MODEL),
    retry=retry,
)
