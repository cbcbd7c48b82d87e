"""The first program of a container. Copied into every release on the share; standard library only.

Installs missing packages of `requirements.txt`, then replaces itself with the endpoint in `code.zip`.
Packages come from wheels on the share, which the first start with these requirements downloads:

    .remora/deps/<hash of requirements, Python, platform and pip's settings>/*.whl

In the front's container (REMORA_FRONT_OF is set) it installs only what the front needs, and starts that.

Meanwhile it answers probes on the port: alive, not ready. pip's own variables (PIP_EXTRA_INDEX_URL and so on)
select the package index; set them in the template's environmentVariables.

Where the share is not mounted (REMORA_SHARE_URL), `bootstrap.py` has fetched the release, and this pulls the
base model with the release's own code; what it writes is then this replica's, so it keeps no wheels.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from socket import AF_INET, AF_INET6
from socketserver import TCPServer
from threading import Event, Thread

ALL_INTERFACES = "0.0.0.0"  # noqa: S104 - in a container, only the ingress can reach it
DEFAULT_PORT = 7860
STALE_SECONDS = 6 * 3600
STOP_SECONDS = 0.5
BEAT_SECONDS = 1.0
SERVER, FRONT = "remora.server", "remora.server.front"
FRONT_VARIABLE = "REMORA_FRONT_OF"
FRONT_PACKAGES = frozenset({"fastapi", "httptools", "httpx", "pydantic", "uvicorn", "uvloop"})
_SOURCES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX")


def main() -> None:
    release = Path(__file__).resolve().parent
    mount = release.parents[2]
    host = os.environ.get("REMORA_HOST", ALL_INTERFACES)
    port = int(os.environ.get("PORT") or os.environ.get("CONTAINER_APP_PORT") or DEFAULT_PORT)
    path = [str(release / "code.zip")]
    pulls = bool(os.environ.get("REMORA_SHARE_URL"))
    is_front = FRONT_VARIABLE in os.environ
    wanted = (release / "requirements.txt").read_text().split()
    if is_front:
        wanted = [line for line in wanted if line.partition("==")[0] in FRONT_PACKAGES]
    missing = [line for line in wanted if not is_installed(line)]
    if missing:
        cache = None if pulls else mount / ".remora" / "deps"
        installer = Installer(missing, release / "requirements.txt", cache)
        signal.signal(signal.SIGTERM, installer.stop)
        progress = f"installing {len(missing)} packages"
        note = nullcontext() if is_front else noted(mount, progress)
        with open_door(host, port, f"{progress}; try again later"), note:
            installer.install()
        path.append(str(installer.target))
    if pulls and not is_front:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with open_door(host, port, "pulling the base model") as tell:
            pull(mount, release, tell)
    command = [
        sys.executable,
        *("-m", FRONT if is_front else SERVER, str(mount)),
        *("--release", release.name),
        *("--host", host),
        *("--port", str(port)),
    ]
    os.environ["PYTHONPATH"] = os.pathsep.join(path)
    os.execv(sys.executable, command)  # noqa: S606 - replace this process, so that signals reach the endpoint


def pull(mount: Path, release: Path, tell: Callable[[str], None]) -> None:
    """Pull the base model into this replica's own disk, with the code of the release. Exits if it cannot."""
    sys.path.insert(0, str(release / "code.zip"))
    from remora.adapters.mirror.mirror import Mirror
    from remora.adapters.pulling import pull_base
    from remora.errors import RemoraError

    def told(text: str) -> None:
        say(text)
        tell(text)

    try:
        mirror = Mirror.of(mount, os.environ)
        if mirror is not None:
            mirror.remove_partial()
            pull_base(mirror, release.name, told)
    except RemoraError as error:
        sys.exit(f"Error ({error.code}): {error.message}; {error.hint}")


def is_installed(requirement: str) -> bool:
    """Whether `name==version` is installed; ignores a local label such as +cpu."""
    name, _, wanted = requirement.partition("==")
    try:
        return version(name).partition("+")[0] == wanted
    except PackageNotFoundError:
        return False


@contextmanager
def open_door(host: str, port: int, reason: str) -> Iterator[Callable[[str], None]]:
    """Answer "not ready" on the port: the platform restarts a container whose port is closed.

    What is given to the block sets the reason anew.
    """
    told: dict[str, str | None] = {"message": reason, "type": "server_error"}
    told |= {"code": "not_ready", "param": None}

    class Doorkeeper(BaseHTTPRequestHandler):
        def answer(self) -> None:
            alive = self.path == "/healthz"
            body = json.dumps({"status": "alive"} if alive else {"error": told}).encode()
            self.send_response(200 if alive else 503)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            if not alive:
                self.send_header("retry-after", "5")
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else body)

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = answer  # noqa: N815

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the library's name
            """Logs nothing: probes come every few seconds."""

    class Door(ThreadingHTTPServer):
        address_family = AF_INET6 if ":" in host else AF_INET

        def server_bind(self) -> None:
            TCPServer.server_bind(self)  # HTTPServer's would ask DNS for a name that is never used

    try:
        door = Door((host, port), Doorkeeper)
    except OSError as error:
        sys.exit(f"cannot listen on {host}:{port}: {error}")
    with door:
        waiting = Thread(target=door.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        waiting.start()
        try:
            yield lambda news: told.update(message=news)
        finally:
            door.shutdown()


@contextmanager
def noted(mount: Path, said: str) -> Iterator[None]:
    """Say it in this replica's note on the share, for the front: see `remora/adapters/starting_note.py`.

    The endpoint goes on with the same note.
    """
    name = os.environ.get("CONTAINER_APP_REPLICA_NAME") or socket.gethostname()
    note = mount / ".remora" / "starting" / f"{name}.json"
    ended = Event()

    def beat() -> None:
        number = 0
        while not ended.wait(BEAT_SECONDS):
            number += 1
            partial = note.with_name(f".{note.name}.partial")
            with suppress(OSError):
                note.parent.mkdir(parents=True, exist_ok=True)
                partial.write_text(json.dumps({"said": said, "beat": number}))
                partial.replace(note)

    beating = Thread(target=beat, daemon=True)
    beating.start()
    try:
        yield
    finally:
        ended.set()
        beating.join()


class Installer:
    """Installs requirements into a folder of this container, not into the interpreter's own packages."""

    def __init__(self, missing: list[str], requirements: Path, cache: Path | None) -> None:
        """`cache` is the share's folder for wheels; None where the share cannot be written."""
        self.target = Path(tempfile.mkdtemp(prefix="remora-deps-"))
        self._missing = missing
        self._what = ["-c", str(requirements), *missing]
        self._wheels = cache / cache_key(missing, requirements.read_text()) if cache else None
        self._stop = Event()

    def stop(self, *_: object) -> None:
        """A signal handler: stop soon. An exception from here could lose a process that was just started."""
        self._stop.set()

    def install(self) -> None:
        """Install. Exits if pip fails, and then leaves nothing behind in this container."""
        try:
            self._install_or_exit()
        except BaseException:
            shutil.rmtree(self.target, ignore_errors=True)
            raise

    def _install_or_exit(self) -> None:
        started = time.monotonic()
        wheels = self._wheels
        if wheels is not None and wheels.is_dir():
            say(f"installing {len(self._missing)} packages from {wheels}")
            if self._install_offline(wheels):
                say(f"installed in {time.monotonic() - started:.1f} s")
                return
            say("these wheels cannot be installed; downloading them again")
            shutil.rmtree(wheels, ignore_errors=True)
        say(f"downloading {', '.join(self._missing)}")
        kept = wheels is not None and self._download(wheels)
        if not (self._install_offline(wheels) if wheels and kept else self._install(dict(os.environ))):
            give_up()
        say(f"downloaded and installed in {time.monotonic() - started:.1f} s")

    def _download(self, wheels: Path) -> bool:
        """Put all wheels on the share, or none; False if the share cannot be written."""
        partial = wheels.with_name(f".{wheels.name}.{secrets.token_hex(4)}.partial")
        try:
            remove_stale(wheels.parent)
            partial.mkdir(parents=True)
        except OSError as error:
            say(f"the wheels cannot be kept on the share: {error}")
            return False
        try:
            if not self._pip(dict(os.environ), "wheel", "--wheel-dir", str(partial), *self._what):
                give_up()
            with suppress(OSError):  # another replica was faster; its wheels are the same
                partial.rename(wheels)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return True

    def _install_offline(self, wheels: Path) -> bool:
        offline = {name: value for name, value in os.environ.items() if name not in _SOURCES}
        return self._install(offline, "--no-index", "--find-links", str(wheels))

    def _install(self, environment: dict[str, str], *source: str) -> bool:
        into = ("--no-compile", "--target", str(self.target))
        return self._pip(environment, "install", *into, *source, *self._what)

    def _pip(self, environment: dict[str, str], *arguments: str) -> bool:
        """Run pip; returns whether it succeeded. A stopped container does not wait for a download."""
        quiet = ("--no-input", "--disable-pip-version-check", "--no-cache-dir", "--progress-bar", "off")
        command = [sys.executable, "-m", "pip", *arguments, *quiet]
        with subprocess.Popen(command, stdout=sys.stderr, env=environment) as process:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    return process.wait(STOP_SECONDS) == 0
                if self._stop.is_set():
                    process.terminate()
                    sys.exit(128 + signal.SIGTERM)


def cache_key(missing: list[str], requirements: str) -> str:
    """A hash of everything that decides which wheels pip chooses."""
    settings = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    machine = [*sys.version_info[:2], sys.platform, platform.machine(), *platform.libc_ver()]
    decisive = json.dumps([missing, requirements, machine, settings], sort_keys=True)
    return hashlib.sha256(decisive.encode()).hexdigest()[:16]


def remove_stale(cache: Path) -> None:
    """Remove what killed starts have left behind."""
    for partial in cache.glob(".*.partial"):
        if time.time() - partial.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(partial, ignore_errors=True)


def give_up() -> None:
    sys.exit("pip failed, see above; the endpoint is not started")


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main()
