"""guidellm, by its command line: a benchmark of two requests."""

import json
from pathlib import Path

import harness as h
from command_line import leave_when, run_command


def command(text=h.HELLO, url=h.URL, key=h.KEY, model=h.MODEL, **fields):
    Path("data.jsonl").write_text(f"{json.dumps({'prompt': text})}\n" * 4)
    backend = {"target": url.removesuffix("/v1"), "model": model, "api_key": key, **fields}  # none: left out
    given = ",".join(["kind=openai_http", *(f"{name}={value}" for name, value in backend.items() if value)])
    return [
        *("guidellm", "run", "--backend", given, "--profile", "kind=synchronous"),
        *("--constraint", "kind=max_requests,count=2", "--data", "kind=json_file,path=data.jsonl"),
        *("--output", "kind=json,path=out.json", "--disable-console-interactive"),
    ]


def requests(**fields):
    """Its first benchmark's requests, by what became of them."""
    run_command(command(**fields))
    (benchmark,) = json.loads(Path("out.json").read_text())["benchmarks"]
    return benchmark["requests"]


def completed(**fields):
    done = requests(**fields)["successful"]
    assert len(done) == 2, done
    return done


def stream():
    assert [each["output"] for each in completed()] == [h.HELLO] * 2


def usage():
    assert [each["output_tokens"] for each in completed()] == [h.HELLO_TOKENS] * 2


def leave():
    leave_when(command(h.LONG), lambda _: h.wait_until_running())


def says(message, **fields):
    failed = json.dumps(requests(**fields)["errored"])
    assert message in failed, failed[-600:]


h.run(
    {
        "benchmarks text": "auto required named parallel result schema logprobs n seed stop",
        "always streams": "chat",
        "counts a 429 as an error": "retry",
    },
    list=lambda: completed(model=None),  # it takes the first that is listed
    stream=stream,
    usage=usage,
    cancel=h.stops(leave),
    wrong_key=lambda: says("401", key=h.WRONG_KEY),
    wrong_model=lambda: says("404", model=h.WRONG_MODEL),
    asynchronous=stream,
)
