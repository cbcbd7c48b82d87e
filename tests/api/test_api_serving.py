"""`remora serve` and its parts: ports, keys, starting and stopping, in a real process with a real model."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from openai import OpenAI
from tests import cpu_time
from tests.api.endpoint_builder import DEADLINE_SECONDS, KEY
from tests.api.shared_folder import BASE_DIGEST, RELEASE, SharedFolder
from tests.engine.tiny_models import TinyModel, write_model

from remora.adapters.aliases import AliasSet
from remora.adapters.store import RELEASE_FILE, Release, release_folder
from remora.cli.main import main
from remora.errors import InvalidInput, PortInUse
from remora.server.access.auth import is_loopback
from remora.server.listening import bind

EVERY_INTERFACE = "0.0.0.0"  # noqa: S104 - never bound: it is refused
IDLE_SECONDS = 3.0
MOST_IDLE_SHARE = 0.015
COMMAND = (sys.executable, "-c", "from remora.cli.main import main; main()", "serve")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a tiny base model and one adapter, and no settings."""
    root = tmp_path / "project"
    model = TinyModel(write_model(root / "base", "llama"))
    model.add_adapter("one", r=4, lora_alpha=8, target_modules=["q_proj"])
    return root


@contextmanager
def serving(
    project: Path, home: Path, *arguments: str, said: list[str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running `remora serve`, and where it says it listens; `said` gets what it says before that."""
    said = [] if said is None else said
    clean = {name: value for name, value in os.environ.items() if not name.startswith("REMORA_")}
    environment = {**clean, "REMORA_HOME": str(home), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*COMMAND, str(project), "--port", "0", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                said.append(line)
                if found := re.search(r"ready on (http://\S+)", line):
                    yield process, found[1]
                    return
            raise AssertionError("".join(said))
        finally:
            process.kill()


@contextmanager
def signed_in(url: str, home: Path) -> Iterator[httpx.Client]:
    """A visitor, who waits while the page is made."""
    with httpx.Client(base_url=url, timeout=DEADLINE_SECONDS) as browser:
        browser.post("/login", data={"key": (home / "serve.key").read_text().strip()})
        yield browser


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_folder_is_served_until_a_signal_and_then_ends_well(
    project: Path, tmp_path: Path, number: signal.Signals
) -> None:
    home = tmp_path / "home"
    with serving(project, home) as (process, url):
        key_file = home / "serve.key"
        assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
        key = key_file.read_text().strip()
        with OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:
            answer = client.completions.create(model="one", prompt="a b c", max_tokens=4, temperature=0)
        assert answer.usage is not None
        assert answer.usage.completion_tokens <= 4
        assert (answer.system_fingerprint or "").startswith("one@")
        with (
            signed_in(url, home) as browser,
            browser.stream("GET", "/gradio_api/heartbeat/someone") as page_left_open,
        ):
            assert page_left_open.status_code == 200
            process.send_signal(number)
            assert process.stderr is not None
            rest = process.stderr.read()
        assert process.wait(20) == 0
    *requests, last = rest.splitlines()
    assert last == "stopping"
    assert [json.loads(line)["route"] for line in requests] == ["/v1/completions", "/login"]
    assert key not in rest


def test_an_idle_server_with_its_page_uses_almost_no_cpu(project: Path, tmp_path: Path) -> None:
    if not cpu_time.can_be_read():
        pytest.skip("the CPU time of another process is read from /proc")
    home = tmp_path / "home"
    with serving(project, home) as (process, url):
        with signed_in(url, home) as browser:
            assert "gradio" in browser.get("/").text
        # What the start has left to do may go on for a while: one quiet span is enough.
        until(lambda: cpu_time.share_within(process.pid, IDLE_SECONDS) <= MOST_IDLE_SHARE)


def test_the_log_says_which_sampling_of_a_generation_config_is_not_applied(
    project: Path, tmp_path: Path
) -> None:
    (project / "base" / "generation_config.json").write_text('{"repetition_penalty": 1.2}')
    (project / "adapters" / "one" / "generation_config.json").write_text('{"temperature": 0.3}')
    said: list[str] = []
    with serving(project, tmp_path / "home", said=said):
        log = "".join(said)
    assert "note: the generation config of base asks for repetition_penalty 1.2" in log
    assert "note: the generation config of one asks for temperature 0.3" in log


def exit_code(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["serve", *arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_a_port_in_use_is_refused_before_the_model_is_looked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert exit_code(str(tmp_path), "--no-auth", "--port", str(port)) == 2
    said = capsys.readouterr().err
    assert f"port {port} on 127.0.0.1 is in use" in said
    assert f"--port {port + 1}" in said


def test_connections_wait_as_soon_as_the_port_is_taken() -> None:
    """A model takes minutes to load, and a port that is closed for so long is a dead container's."""
    with bind("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname(), timeout=300):
        pass


def test_no_auth_needs_a_loopback_host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(str(tmp_path), "--no-auth", "--host", EVERY_INTERFACE, "--port", "0") == 2
    assert EVERY_INTERFACE in capsys.readouterr().err


def test_a_folder_without_a_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(str(tmp_path), "--no-auth", "--port", "0") == 3
    assert "no base model was found" in capsys.readouterr().err


def test_binding_says_what_is_wrong() -> None:
    with bind("127.0.0.1", 0) as first:
        first.listen()
        with pytest.raises(PortInUse):
            bind("127.0.0.1", first.getsockname()[1])
    with pytest.raises(InvalidInput, match="70000"):
        bind("127.0.0.1", 70_000)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("localhost", True),
        ("::1", True),
        ("[::1]", True),
        (EVERY_INTERFACE, False),
        ("::", False),
        ("localhost.example.com", False),
        ("", False),
    ],
)
def test_loopback_names(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_a_log_that_takes_nothing_keeps_nobody_from_being_served(tmp_path: Path) -> None:
    """As where it is a file on a full disk: what is told is lost, and adapters are followed all the same."""
    share = SharedFolder(tmp_path / "mount")
    release = Release("tone-base", (), BASE_DIGEST, serve={"engine": "echo", "page": "off"})
    (share.root / release_folder(RELEASE) / RELEASE_FILE).write_bytes(release.to_json())
    share.say(AliasSet())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "remora.server", str(share.root), "--release", RELEASE]
    with (
        Path("/dev/full").open("wb") as full,
        subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            env={**os.environ, "REMORA_API_KEY": KEY},
            stderr=full,
        ) as process,
        httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            headers={"authorization": f"Bearer {KEY}"},
        ) as client,
    ):
        try:
            until(lambda: is_ready(process, client))
            share.say(share.aliases.with_alias("tone", share.put("tone", 1)))
            until(lambda: client.get("/v1/models/tone").status_code == 200)
        finally:
            process.terminate()


def is_ready(process: subprocess.Popen[bytes], client: httpx.Client) -> bool:
    assert process.poll() is None
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)
