"""What the clients ask: endpoints with a scripted model, and one that is full at first."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import httpx
from tests.api.endpoint_builder import BASE, KEY, KEYS, RunningEndpoint, WatchedEngine

from remora.engine.base import GenerationRequest, TokenEvent, TokenStream, ToolFormat
from remora.server.settings import ServerSettings

CONTEXT = 65_536
CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Bern"}}\n</tool_call>'
PLUGIN_CALL = CALL.replace("get_weather", "weather-get_weather")
LONG = "long"
LONG_TOKENS = 60_000
LONG_TOKEN_SECONDS = 0.002  # slow enough that nobody reads it to its end by chance
SCRIPT = {
    "one": CALL,
    "both": f"{CALL}\n{CALL.replace('Bern', 'Rome')}",
    "</tool_response>": "It is warm.",
    "tool: warm": "It is warm.",
    'tool: "warm"': "It is warm.",
    "shell": CALL.replace("get_weather", "exec_command").replace(
        '"city": "Bern"', '"cmd": "echo $((6 * 7))"'
    ),
    "of a plugin": PLUGIN_CALL,
    "both of a plugin": f"{PLUGIN_CALL}\n{PLUGIN_CALL.replace('Bern', 'Rome')}",
    LONG: "word " * (LONG_TOKENS // 5),
}
DSPY_ASKS = (  # at the end of what a program of its own asks
    "Respond with the corresponding output fields, starting with the field `[[ ## answer ## ]]`, "
    "and then ending with the marker for `[[ ## completed ## ]]`."
)
SCRIPT[DSPY_ASKS] = "[[ ## answer ## ]]\nhello there\n\n[[ ## completed ## ]]"
AIDER_REMARK = "\n\nReply in English.\n"  # below every question
WHICH_SEED = "which seed?"
FORMS: Mapping[str, ToolFormat | None] = {"template": ToolFormat.HERMES, "generic": None}
LEAST_POLL_SECONDS = 0.02
HOLD_SECONDS = 3600.0


class ScriptedEngine(WatchedEngine):
    """Answers what is asked last from SCRIPT, tells the seed that it got, and is slow with the long one."""

    def submit(self, request: GenerationRequest) -> TokenStream:
        prompt = self.tokenizer.decode(request.prompt_ids)
        asked = prompt.removesuffix(AIDER_REMARK).rstrip("\n").rsplit("\n", 1)[-1].removeprefix("user: ")
        if prompt.endswith("\n"):
            self.script[""] = self.script.get(asked, asked)  # its last line is empty
        if asked == WHICH_SEED:
            self.script[WHICH_SEED] = str(request.sampling.seed)
        stream = super().submit(request)
        return _slowed(stream) if asked == LONG else stream


async def _slowed(stream: TokenStream) -> AsyncGenerator[TokenEvent]:
    try:
        async for event in stream:
            await asyncio.sleep(LONG_TOKEN_SECONDS)
            yield event
    finally:
        await stream.aclose()


def settings() -> ServerSettings:
    """Keys and no page."""
    return ServerSettings(api_keys=KEYS, chat_page=False)


def maker(written: ToolFormat | None) -> Callable[[], WatchedEngine]:
    """Makes a scripted engine whose template has this form of tools."""

    def make() -> WatchedEngine:
        engine = ScriptedEngine(context_length=CONTEXT)
        engine.tokenizer.tool_format = written
        engine.script = dict(SCRIPT)
        return engine

    return make


class FullEndpoint:
    """An endpoint with one place. Within `full()` it is taken until somebody was refused with 429."""

    def __init__(self) -> None:
        limited = replace(settings(), max_open_requests=1, ollama=True)
        self._running = RunningEndpoint(limited, maker(ToolFormat.HERMES))

    def __enter__(self) -> FullEndpoint:
        self._running.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.__exit__()

    @property
    def url(self) -> str:
        return self._running.url

    @contextmanager
    def full(self) -> Iterator[None]:
        self._running.hold()
        over = threading.Event()
        asking = threading.Thread(target=self._ask)
        asking.start()
        self._running.until(lambda stats: stats.running_requests == 1)
        watching = threading.Thread(target=self._release_when_refused, args=(over,))
        watching.start()
        try:
            yield
        finally:
            over.set()
            watching.join()
            asking.join()

    def _ask(self) -> None:
        body = {"model": BASE, "messages": [{"role": "user", "content": "the one place"}]}
        headers = {"Authorization": f"Bearer {KEY}"}
        httpx.post(f"{self.url}/v1/chat/completions", json=body, headers=headers, timeout=HOLD_SECONDS)

    def _release_when_refused(self, over: threading.Event) -> None:
        before = self._refused()
        while self._refused() == before and not over.wait(LEAST_POLL_SECONDS):
            pass
        self._running.release()

    def _refused(self) -> float:
        """How many requests were answered with 429."""
        headers = {"Authorization": f"Bearer {KEY}"}
        lines = httpx.get(f"{self.url}/metrics", headers=headers, timeout=60).text.splitlines()
        counts = [line for line in lines if line.startswith("remora_requests_total{") and '"429"' in line]
        return sum(float(line.rpartition(" ")[2]) for line in counts)
