"""What the programs of this folder share: `URL KEY MODEL`, and how their cases are run and told.

BUSY_URL is an endpoint whose first answer is 429. CASES, where it is set, names the only cases to run.
"""

import asyncio
import inspect
import json
import os
import sys
import time
import traceback
import urllib.request

URL, KEY, MODEL = sys.argv[1:]
BUSY_URL = os.environ["BUSY_URL"]
CHOSEN = os.environ.get("CASES", "").split()

# What the scripted model is asked, and what it answers.
HELLO = "hello there"
WARM = "It is warm."
STOPPED, STOP, BEFORE_STOP = "a b c", " b", "a"
WHICH_SEED, SEED = "which seed?", 7
LONG = "long"
HELLO_TOKENS = len(HELLO) + 1  # one of each character, and the end

WRONG_KEY, WRONG_MODEL = "not-a-key", "no-such-model"
NO_OPTION = "has no option for it"
SECONDS = 120.0

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "description": "The weather of a city", "parameters": SCHEMA},
}
NAMED = {"type": "function", "function": {"name": "get_weather"}}
RESPONSE_FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "weather", "schema": SCHEMA, "strict": True},
}


def get_weather(city: str) -> str:
    """The weather of a city.

    Args:
        city: Which city.
    """
    return "warm" if city else ""


def user(text):
    return [{"role": "user", "content": text}]


def fails(message, work):
    """Runs it, and it must raise an error with this in it (or in one behind it)."""
    try:
        result = work()
        if inspect.isawaitable(result):
            asyncio.run(_awaited(result))
    except Exception as error:
        chain = [error]  # which may come back to itself
        while (behind := chain[-1].__cause__ or chain[-1].__context__) and behind not in chain:
            chain.append(behind)
        said = " ".join(f"{type(each).__name__} {each}" for each in chain)
        assert message in said, said
        return
    raise AssertionError(f"nothing was raised with {message!r}")


def wrong_key(work):
    """The case: the client's own error says that the key is wrong."""
    return lambda: fails("not valid", work)


def wrong_model(work):
    return lambda: fails("does not exist", work)


async def _awaited(result):
    return await result


def stops(leave):
    """The case: `leave` begins to read the long answer and goes; the metrics say that the engine stops."""

    def case():
        before = _metric("remora_engine_cancelled_requests_total")
        result = leave()
        if inspect.isawaitable(result):
            asyncio.run(_awaited(result))
        deadline = time.monotonic() + SECONDS
        while _metric("remora_engine_cancelled_requests_total") <= before or _metric("remora_batch_size"):
            assert time.monotonic() < deadline, "the engine goes on"
            time.sleep(0.05)

    return case


def wait_until_running():
    """Until the engine makes an answer: for clients that show nothing before its end."""
    deadline = time.monotonic() + SECONDS
    while not _metric("remora_batch_size"):
        assert time.monotonic() < deadline, "the engine makes nothing"
        time.sleep(0.05)
    return True


async def cancelled(answer):
    """Awaits it, and is cancelled in the middle of it."""
    task = asyncio.ensure_future(answer)
    await asyncio.to_thread(wait_until_running)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled(), task


def _metric(name):
    request = urllib.request.Request(
        URL.removesuffix("/v1") + "/metrics", headers={"Authorization": f"Bearer {KEY}"}
    )
    with urllib.request.urlopen(request) as answer:
        lines = answer.read().decode().splitlines()
    return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])


def run(cannot=(), **cases):
    """All of them; the line TOLD says by case what went wrong, or why the client has no such thing.

    `cannot`: reasons, each for the names of cases separated by spaces.
    """
    told = {
        name: {"cannot": reason} for reason, names in dict(cannot or {}).items() for name in names.split()
    }
    for name, case in cases.items():
        if CHOSEN and name not in CHOSEN:
            continue
        told[name] = {}
        try:
            result = case()
            if inspect.isawaitable(result):
                asyncio.run(_awaited(result))
        except BaseException as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            told[name] = {"problem": f"{type(error).__name__}: {error} ({last.name}, {last.line})"[:600]}
    sys.stdout.write(f"\nTOLD {json.dumps(told)}\n")
