"""`remora cloud`: start, stop and inspect the local cloud; start it on demand for other commands.

The cloud is a process of its own, reached over HTTP only; this module never imports it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from remora.azure.profile import local_connection, remora_home
from remora.cli.output import Mode, Output, OutputOption
from remora.errors import CloudUnavailable, InvalidInput, Locked

START_SECONDS = 30.0
STOP_SECONDS = 40.0
_POLL_SECONDS = 0.05
_HEALTH_SECONDS = 2.0
_LOG_TAIL_LINES = 5

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Start, stop and inspect the local cloud.")

TlsOption = Annotated[
    bool, typer.Option("--tls", help="Serve ARM over HTTPS too, with a CA of its own: for the Azure CLI.")
]
PortOption = Annotated[
    int, typer.Option(min=0, max=65535, help="ARM port; 0 keeps the last one or takes any.")
]


@app.command(epilog="Example: remora cloud start")
def start(port: PortOption = 0, tls: TlsOption = False, output: OutputOption = Mode.HUMAN) -> None:
    """Start the local cloud, unless it runs already."""
    out = Output(output)
    home = remora_home()
    known = running(home)
    if known is not None and tls and not known.get("arm_tls_url"):
        raise InvalidInput(
            "the local cloud runs without TLS",
            hint="run: remora cloud stop, then: remora cloud start --tls",
            param="--tls",
        )
    connection = known or ensure_running(home, out, port=port, tls=tls)
    out.result("cloud", _document(connection), f"The local cloud runs at {connection['arm_url']}")


@app.command(epilog="Example: remora cloud stop")
def stop(output: OutputOption = Mode.HUMAN) -> None:
    """Stop the local cloud and its apps; its resources and files stay."""
    out = Output(output)
    connection = running(remora_home())
    if connection is None:
        out.result("cloud", {"running": False}, "The local cloud is not running")
        return
    with out.step("stopping the local cloud"):
        _stop(int(connection["pid"]))
    out.result("cloud", {"running": False}, "The local cloud has stopped; its resources and files are kept")


@app.command(epilog="Example: remora cloud status --output json")
def status(output: OutputOption = Mode.HUMAN) -> None:
    """Say whether the local cloud runs, and where."""
    out = Output(output)
    home = remora_home()
    connection = running(home)
    if connection is None:
        out.result(
            "cloud", {"running": False}, "The local cloud is not running; start it with: remora cloud start"
        )
        return
    lines = [
        f"The local cloud runs at {connection['arm_url']} (process {connection['pid']})",
        f"  files  {connection['files_url']}",
        f"  state  {home / 'cloud'}",
        "  image  container images are not pulled: containers are processes of this machine",
    ]
    out.result("cloud", _document(connection), "\n".join(lines))


@app.command(epilog='Example: eval "$(remora cloud env)"')
def env(output: OutputOption = Mode.HUMAN) -> None:
    """Print shell exports for other tools that should talk to the local cloud."""
    out = Output(output)
    connection = ensure_running(remora_home(), out)
    variables = {
        "AZURE_SUBSCRIPTION_ID": connection["subscription_id"],
        "AZURE_TENANT_ID": connection["tenant_id"],
        "REMORA_LOCAL_ARM_URL": connection["arm_url"],
        "REMORA_LOCAL_FILES_URL": connection["files_url"],
        "REMORA_LOCAL_TOKEN": connection["token"],
    }
    if connection.get("arm_tls_url"):  # what the Azure CLI needs to trust it and to sign in
        variables |= {
            "REMORA_LOCAL_ARM_TLS_URL": connection["arm_tls_url"],
            "REQUESTS_CA_BUNDLE": connection["ca_file"],
            "IDENTITY_ENDPOINT": connection["identity_endpoint"],
            "IDENTITY_HEADER": connection["identity_header"],
        }
    exports = "\n".join(f"export {name}={value}" for name, value in variables.items())
    out.result("cloud.env", {"environment": variables}, exports)


def running(home: Path) -> dict[str, Any] | None:
    """The connection of a local cloud that answers now, or None."""
    connection = local_connection(home)
    if connection is None:
        return None
    try:
        healthy = httpx.get(f"{connection['arm_url']}/healthz", timeout=_HEALTH_SECONDS).is_success
    except httpx.HTTPError:
        return None
    return connection if healthy else None


def ensure_running(home: Path, out: Output, *, port: int = 0, tls: bool = False) -> dict[str, Any]:
    """The connection of the local cloud, started if need be. Raises CloudUnavailable with its last words."""
    connection = running(home)
    if connection is not None:
        return connection
    with out.step("starting the local cloud"):
        return _start(home, port, tls)


def _start(home: Path, port: int, tls: bool) -> dict[str, Any]:
    folder = home / "cloud"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = folder / "cloud.log"
    flags = ["--home", str(home), "--port", str(port), *(["--tls"] if tls else [])]
    command = [sys.executable, "-m", "remora.localcloud", *flags]
    with log.open("ab") as stream:
        written_before = stream.tell()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True
        )
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        connection = running(home)
        if connection is not None:
            return connection
        if process.poll() not in (None, Locked.exit_code):  # locked: somebody else is starting it just now
            break
        time.sleep(_POLL_SECONDS)
    raise CloudUnavailable(
        f"the local cloud did not start: {_last_words(log, written_before)}", hint=f"read {log}"
    )


def _last_words(log: Path, start: int) -> str:
    with log.open("rb") as stream:
        stream.seek(start)
        lines = stream.read().decode(errors="replace").strip().splitlines()
    return " / ".join(lines[-_LOG_TAIL_LINES:]) or "it printed nothing"


def _stop(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        if not _lives(pid):
            return
        time.sleep(_POLL_SECONDS)
    raise CloudUnavailable(f"the local cloud (process {pid}) does not stop", hint=f"run: kill -9 {pid}")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """A dead child of ours that nobody has reaped yet still has a pid."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False


def _document(connection: dict[str, Any]) -> dict[str, Any]:
    public = ("pid", "arm_url", "files_url", "arm_tls_url", "ca_file", "subscription_id", "version")
    return {"running": True, **{key: connection[key] for key in public if connection.get(key)}}
