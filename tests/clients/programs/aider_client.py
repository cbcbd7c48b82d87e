"""aider, by its command line, in its mode that only asks."""

import os

import harness as h
from command_line import leave_when, run_command


def command(text=h.HELLO, *more, url=h.URL, key=h.KEY, model=h.MODEL):
    return [
        *("aider", "--model", f"openai/{model}", "--openai-api-base", url, "--openai-api-key", key),
        *("--chat-mode", "ask", "--message", text, "--yes-always", "--no-git", "--no-pretty"),
        *("--no-check-update", "--analytics-disable", "--no-show-model-warnings", "--no-show-release-notes"),
        *("--no-detect-urls", "--map-tokens", "0", *more),
    ]


def asked(*args, **fields):
    return run_command(command(*args, **fields), env={**os.environ, "COLUMNS": "300"})


def chat():
    assert h.HELLO in asked(h.HELLO, "--no-stream").splitlines()


def stream():
    assert h.HELLO in asked().splitlines()


def usage():
    assert f"{h.HELLO_TOKENS} received" in asked(h.HELLO, "--no-stream")


def leave():
    leave_when(command(h.LONG), lambda _: h.wait_until_running())  # it shows whole lines only


def says(message, **fields):
    printed = " ".join(asked(**fields).split())  # it folds its lines
    assert message in printed, printed[-300:]


h.run(
    {
        "lists models of its own table": "list",
        "edits files by text, without calls and schemas": "auto required named parallel result schema",
        h.NO_OPTION: "stop logprobs n seed",
        "asks once and ends": "asynchronous",
    },
    chat=chat,
    stream=stream,
    usage=usage,
    cancel=h.stops(leave),
    wrong_key=lambda: says("not valid", key=h.WRONG_KEY),
    wrong_model=lambda: says("does not exist", model=h.WRONG_MODEL),
    retry=lambda: says(h.HELLO, url=h.BUSY_URL),
)
