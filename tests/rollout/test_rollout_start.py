"""The first program of a container, as a process: wheels kept on the share, an open port, an honest end."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import httpx
import pytest
from tests.rollout.wheels import write_wheel

from remora.rollout.share.code import start_script

SERVER = """
import sys, tinydep, tinysub
print(tinydep.VERSION, tinysub.VERSION, *sys.argv[1:])
"""
WAIT_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Container:
    """A share with one release, whose code says which packages it got instead of serving."""

    share: Path
    port: int

    @property
    def cache(self) -> Path:
        return self.share / ".remora" / "deps"

    def kept(self) -> dict[str, list[str]]:
        """Folder → wheels of the cache, what is hidden included."""
        return {
            folder.name: sorted(path.name for path in folder.iterdir()) for folder in self.cache.iterdir()
        }

    def start(self, **environment: str) -> subprocess.Popen[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        settings = {"PORT": str(self.port), "REMORA_HOST": "127.0.0.1", "TMPDIR": str(self.share.parent)}
        return subprocess.Popen(
            [sys.executable, str(self.share / ".remora" / "releases" / "abc" / "start.py")],
            env={**clean, **settings, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, **environment: str) -> tuple[int, str, str]:
        process = self.start(**environment)
        stdout, stderr = process.communicate(timeout=WAIT_SECONDS)
        return process.returncode, stdout, stderr


@pytest.fixture
def container(tmp_path: Path) -> Container:
    """A container that was never started."""
    return make_container(tmp_path)


def make_container(folder: Path) -> Container:
    release = folder / "share" / ".remora" / "releases" / "abc"
    release.mkdir(parents=True)
    (release / "start.py").write_bytes(start_script())
    (release / "requirements.txt").write_text("tinydep==1.0\n")
    with zipfile.ZipFile(release / "code.zip", "w") as archive:
        archive.writestr("remora/__init__.py", "")
        archive.writestr("remora/server/__init__.py", "")
        archive.writestr("remora/server/__main__.py", SERVER)
    return Container(folder / "share", free_port())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    write_wheel(folder, "tinydep", "1.0", requires="tinysub")
    write_wheel(folder, "tinysub", "2.0")
    return folder


def only(index: Path) -> dict[str, str]:
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index)}


WHEELS = ["tinydep-1.0-py3-none-any.whl", "tinysub-2.0-py3-none-any.whl"]


@pytest.fixture(scope="module")
def first_start(tmp_path_factory: pytest.TempPathFactory, index: Path) -> Container:
    container = make_container(tmp_path_factory.mktemp("first"))
    code, printed, said = container.run(**only(index))
    assert (code, printed.split()[:2]) == (0, ["1.0", "2.0"]), said
    return container


@pytest.fixture
def started(first_start: Container, tmp_path: Path) -> Container:
    """Another container, on a share where a first one has kept its wheels."""
    shutil.copytree(first_start.share, tmp_path / "share")
    return Container(tmp_path / "share", free_port())


def test_the_second_start_needs_no_index(started: Container, index: Path) -> None:
    assert list(started.kept().values()) == [WHEELS]
    away = index.rename(index.with_name("away"))
    try:
        code, printed, said = started.run(**only(index))
    finally:
        away.rename(index)
    assert (code, printed.split()[:2]) == (0, ["1.0", "2.0"])
    assert "downloading" not in said
    assert list(started.kept().values()) == [WHEELS]


def test_wheels_that_were_damaged_are_downloaded_again(started: Container, index: Path) -> None:
    (key,) = started.kept()
    (started.cache / key / WHEELS[0]).write_bytes(b"half a whee")
    code, printed, said = started.run(**only(index))
    assert (code, printed.split()[:2]) == (0, ["1.0", "2.0"])
    assert "downloading them again" in said
    assert (started.cache / key / WHEELS[0]).read_bytes() == (index / WHEELS[0]).read_bytes()


def test_other_settings_of_pip_have_other_wheels(started: Container, index: Path) -> None:
    started.run(**only(index), PIP_RETRIES="0")
    assert list(started.kept().values()) == [WHEELS, WHEELS]


def test_a_share_that_takes_no_files_costs_only_the_cache(container: Container, index: Path) -> None:
    container.cache.write_text("in the way")
    code, printed, said = container.run(**only(index))
    assert (code, printed.split()[:2]) == (0, ["1.0", "2.0"])
    assert "the wheels cannot be kept" in said


def test_two_replicas_that_start_together_agree_on_one_cache(container: Container, index: Path) -> None:
    processes = [container.start(**only(index), PORT=str(free_port())) for _ in range(2)]
    for process in processes:
        stdout, stderr = process.communicate(timeout=WAIT_SECONDS)
        assert process.returncode == 0, stderr
        assert stdout.split()[:2] == ["1.0", "2.0"]
    assert list(container.kept().values()) == [WHEELS]


@dataclass(frozen=True, slots=True)
class SlowIndex:
    """Serves wheels over HTTP, once it is let go."""

    url: str
    go_on: Event


@pytest.fixture
def slow_index(index: Path) -> Iterator[SlowIndex]:
    go_on = Event()

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(index))  # type: ignore[arg-type]

        def do_GET(self) -> None:
            go_on.wait(WAIT_SECONDS)
            with suppress(ConnectionError):  # whoever asked was stopped meanwhile
                super().do_GET()

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the library's name
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield SlowIndex(f"http://127.0.0.1:{server.server_port}/", go_on)
    go_on.set()
    server.shutdown()
    thread.join()
    server.server_close()


def answers(url: str) -> bool:
    try:
        httpx.get(url)
    except httpx.HTTPError:
        return False
    return True


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_while_packages_are_installed_the_port_is_open_and_says_why(
    container: Container, slow_index: SlowIndex
) -> None:
    process = container.start(PIP_NO_INDEX="1", PIP_FIND_LINKS=slow_index.url)
    url = f"http://127.0.0.1:{container.port}"
    until(lambda: answers(url))
    assert httpx.get(f"{url}/healthz").status_code == 200
    for waiting in (httpx.get(f"{url}/readyz"), httpx.post(f"{url}/v1/completions", json={})):
        assert waiting.status_code == 503
        assert "installing 1 packages" in waiting.json()["error"]["message"]
        assert waiting.headers["retry-after"]
    slow_index.go_on.set()
    stdout, stderr = process.communicate(timeout=WAIT_SECONDS)
    assert stdout.split()[:2] == ["1.0", "2.0"], stderr
    assert not answers(url)


def test_a_port_that_is_taken_is_named(container: Container) -> None:
    with socket.create_server(("127.0.0.1", container.port)):
        code, _, said = container.run()
    assert code == 1
    assert f"127.0.0.1:{container.port}" in said
    assert "Traceback" not in said


def test_a_container_that_is_stopped_does_not_wait_for_the_download(
    container: Container, slow_index: SlowIndex
) -> None:
    process = container.start(PIP_NO_INDEX="1", PIP_FIND_LINKS=slow_index.url)
    until(lambda: answers(f"http://127.0.0.1:{container.port}"))
    until(lambda: container.cache.is_dir() and bool(container.kept()))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 128 + signal.SIGTERM
    assert container.kept() == {}
    assert list(container.share.parent.glob("remora-deps-*")) == []
