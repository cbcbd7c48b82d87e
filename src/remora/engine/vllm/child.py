"""`vllm serve` as a child process. Owns its command, its start and its end; knows nothing of requests.

The child listens on loopback with a key of its own, ends when we do (after `kill -9` too: the kernel signals
it), and is looked at twice a second, so that its death is known before the next probe asks.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from remora.errors import EngineFailed, InvalidInput

VARIABLE: Final = "REMORA_VLLM"
START_SECONDS: Final = 900.0  # a large model is read, profiled and captured
LOOK_SECONDS: Final = 0.5
STOP_SECONDS: Final = 10.0
PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ChildSettings:
    """How vLLM runs the model. `most_adapters` share a batch; none may have a higher rank than the limit."""

    dtype: str = "auto"
    max_running_requests: int = 16
    most_adapters: int = 16
    highest_rank: int = 64
    context_length: int | None = None
    extra_arguments: Sequence[str] = ()


def vllm_program(environment: Mapping[str, str]) -> str:
    """The program named by REMORA_VLLM, else `vllm` on the PATH. Raises InvalidInput where there is none."""
    named = environment.get(VARIABLE)
    found = shutil.which(named or "vllm", path=environment.get("PATH"))
    if found is None:
        what = f"{VARIABLE} names {named!r}, which is no program" if named else "there is no vllm on the PATH"
        raise InvalidInput(what, hint="install vllm, or serve with the engine torch", param="serve.engine")
    return found


class VllmChild:
    """A running `vllm serve`. `base_url` and `headers` are for its client."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, key: str) -> None:
        self.base_url = f"http://127.0.0.1:{port}"
        self.headers = {"authorization": f"Bearer {key}"}
        self._process = process
        self._alive = True
        self._closing = threading.Event()
        self._watch = threading.Thread(target=self._look, name="remora-vllm-watch", daemon=True)

    @classmethod
    def start(cls, program: str, base_path: Path, settings: ChildSettings) -> VllmChild:
        """Start it and wait until it answers; call from the main thread, with which it is to end.

        Raises EngineFailed where it ends first or takes too long; what it said is in our own log.
        """
        key = secrets.token_urlsafe(32)
        port = _free_port()
        process = subprocess.Popen(
            [sys.executable, "-c", _END_WITH_PARENT, *_command(program, base_path, port, settings)],
            env={**os.environ, **_environment(key)},
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
            start_new_session=True,
        )
        child = cls(process, port, key)
        try:
            child._wait_until_ready()
        except BaseException:
            child.close()
            raise
        child._watch.start()
        return child

    @property
    def alive(self) -> bool:
        """Whether it would answer, as of half a second ago."""
        return self._alive

    @property
    def pid(self) -> int:
        return self._process.pid

    def client(self) -> httpx.Client:
        """For short questions from any thread."""
        return httpx.Client(base_url=self.base_url, headers=self.headers, timeout=60.0)

    def close(self) -> None:
        """End the process and all that it started; closing twice is a no-op."""
        self._closing.set()
        self._alive = False
        for number, seconds in ((signal.SIGTERM, STOP_SECONDS), (signal.SIGKILL, None)):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                continue
        if self._watch.is_alive():
            self._watch.join()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        with self.client() as client:
            while time.monotonic() < deadline:
                if (code := self._process.poll()) is not None:
                    raise EngineFailed(
                        f"vllm ended with {code} before it was ready", hint="see the log above"
                    )
                with suppress(httpx.TransportError):
                    if client.get("/health").status_code == httpx.codes.OK:
                        return
                time.sleep(LOOK_SECONDS)
        raise EngineFailed(f"vllm was not ready within {START_SECONDS:.0f} s", hint="see the log above")

    def _look(self) -> None:
        with self.client() as client:
            while not self._closing.wait(LOOK_SECONDS):
                try:
                    reason = self._reason_of_death(client)
                except Exception:  # a watch that ends would call a dead vllm alive for ever
                    logger.exception("looking after vllm failed and is tried again")
                    continue
                if reason:
                    self._alive = False
                    logger.error("vllm is dead: %s", reason)
                    return

    def _reason_of_death(self, client: httpx.Client) -> str:
        """Its front may outlive its core, and then says so; one that is only slow to answer is not dead."""
        if (code := self._process.poll()) is not None:
            return f"it ended with {code}"
        try:
            answer = client.get("/health", timeout=LOOK_SECONDS)
        except httpx.TimeoutException:
            return ""
        except httpx.TransportError as error:
            return f"it does not listen any more: {error}"
        return "" if answer.is_success else f"its health is {answer.status_code}"


# Between fork and exec only what is safe there: so the child sets this itself and then becomes vllm.
_END_WITH_PARENT: Final = (
    "import ctypes, os, signal, sys;"
    f"ctypes.CDLL(None).prctl({PR_SET_PDEATHSIG}, signal.SIGTERM);"
    "os.execv(sys.argv[1], sys.argv[1:])"
)


def _command(program: str, base_path: Path, port: int, settings: ChildSettings) -> list[str]:
    context = settings.context_length
    return [
        *(program, "serve", str(base_path), "--served-model-name", BASE),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--dtype", settings.dtype, "--max-num-seqs", str(settings.max_running_requests)),
        *("--enable-lora", "--max-loras", str(settings.most_adapters)),
        *("--max-lora-rank", str(settings.highest_rank), "--max-logprobs", "-1"),
        *(("--max-model-len", str(context)) if context else ()),
        *settings.extra_arguments,
    ]


BASE: Final = "base"
"""What the child calls the base model; its adapters go by their digests."""


def _environment(key: str) -> dict[str, str]:
    """Offline, without reports to anybody, adapters by its routes; the key is in no argument list."""
    return {
        "VLLM_API_KEY": key,
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port
