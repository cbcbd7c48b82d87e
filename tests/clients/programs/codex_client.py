"""Codex CLI, `codex exec`, over the Responses API."""

import json
import os
from pathlib import Path

import harness as h
from command_line import leave_when, run_command

os.environ["REMORA_KEY"] = h.KEY


def command(text=h.HELLO, *more, model=h.MODEL):
    settings = {
        "model_provider": "remora",
        "model_providers.remora.name": "Remora",
        "model_providers.remora.base_url": h.URL,
        "model_providers.remora.env_key": "REMORA_KEY",
        "model_providers.remora.wire_api": "responses",
        "model_providers.remora.request_max_retries": 0,
        "model_providers.remora.stream_max_retries": 0,
    }
    given = [part for name, value in settings.items() for part in ("-c", f"{name}={json.dumps(value)}")]
    return ["codex", "exec", "--skip-git-repo-check", "--json", *given, "-m", model, *more, text]


def events(*args, **fields):
    lines = run_command(command(*args, **fields)).splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def said(*args, **fields):
    items = [each["item"] for each in events(*args, **fields) if each["type"] == "item.completed"]
    return [item["text"] for item in items if item["type"] == "agent_message"]


def stream():
    assert said() == [h.HELLO]


def usage():
    (told,) = (each["usage"] for each in events() if each["type"] == "turn.completed")
    assert told["output_tokens"] == h.HELLO_TOKENS


def auto():
    """The scripted model calls its shell, and answers with what comes back."""
    answers = said("shell", "--sandbox", "danger-full-access", "-c", 'web_search="disabled"')
    assert answers[-1] in ("42", h.WARM), answers  # the template says where the model reads the result's end


def schema():
    Path("schema.json").write_text(json.dumps(h.SCHEMA))
    (text,) = said("x", "--output-schema", "schema.json")
    assert "city" in json.loads(text)


def leave():
    leave_when(command(h.LONG), lambda seen: b"turn.started" in seen and h.wait_until_running())


def wrong_key():
    os.environ["REMORA_KEY"] = h.WRONG_KEY
    try:
        events()
    finally:
        os.environ["REMORA_KEY"] = h.KEY


h.run(
    {
        "lists models of its own table": "list",
        "always streams": "chat",
        "its model decides to call": "required named",
        "calls its shell one by one": "parallel",
        h.NO_OPTION: "stop logprobs n seed",
        "asks once and ends": "asynchronous",
        "does not ask again after a 429": "retry",
    },
    stream=stream,
    usage=usage,
    auto=auto,
    result=auto,
    schema=schema,
    cancel=h.stops(leave),
    wrong_key=h.wrong_key(wrong_key),
    wrong_model=h.wrong_model(lambda: events(model=h.WRONG_MODEL)),
)
