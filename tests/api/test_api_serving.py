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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from openai import OpenAI
from tests.engine.tiny_models import TinyModel, write_model

from remora.cli.main import main
from remora.errors import InvalidInput, PortInUse
from remora.server.auth import is_loopback
from remora.server.serving import bind

EVERY_INTERFACE = "0.0.0.0"  # noqa: S104 - never bound: it is refused
COMMAND = (sys.executable, "-c", "from remora.cli.main import main; main()", "serve")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a tiny base model and one adapter, and no settings."""
    root = tmp_path / "project"
    model = TinyModel(write_model(root / "base", "llama"))
    model.add_adapter("one", r=4, lora_alpha=8, target_modules=["q_proj"])
    return root


@contextmanager
def serving(project: Path, home: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running `remora serve`, and where it says it listens."""
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
            said = []
            for line in process.stderr:
                said.append(line)
                if found := re.search(r"ready on (http://\S+)", line):
                    yield process, found[1]
                    return
            raise AssertionError("".join(said))
        finally:
            process.kill()


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
        with httpx.Client(base_url=url) as browser:
            browser.post("/login", data={"key": key})
            with browser.stream("GET", "/gradio_api/heartbeat/someone") as page_left_open:
                assert page_left_open.status_code == 200
                process.send_signal(number)
                assert process.stderr is not None
                rest = process.stderr.read()
        assert process.wait(20) == 0
    *requests, last = rest.splitlines()
    assert last == "stopping"
    assert [json.loads(line)["route"] for line in requests] == ["/v1/completions", "/login"]
    assert key not in rest


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
    with bind("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname(), timeout=5):
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
