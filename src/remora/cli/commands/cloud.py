"""`remora cloud`: start, stop and inspect the local cloud; start it on demand for other commands.

The cloud is a process of its own, reached over HTTP only; this module never imports it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from remora.azure.profile import local_connection, remora_home
from remora.cli.commands.cloud_faults import faults
from remora.cli.local.emulator import emulator_command
from remora.cli.local.supervisor import supervisor
from remora.cli.output.console import Mode, Output, OutputOption, YesOption
from remora.cli.output.step import Step
from remora.errors import CloudUnavailable, InvalidInput, Locked, RemoraError, writing

START_SECONDS = 120.0
SLOW_STOP_SECONDS = 40.0
STOP_SECONDS = 660.0  # a container may ask for 600 s to end in
_POLL_SECONDS = 0.05
_HEALTH_SECONDS = 2.0
_LOG_TAIL_LINES = 5
_ISOLATED = "a container can write only to its share, its HOME and its /tmp"
_NOT_ISOLATED = (
    "a container can write wherever you can: this machine has no mount namespaces;"
    " HOME, TMPDIR and Python are the container's own"
)

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Start, stop and inspect the local cloud.")
app.add_typer(faults, name="faults")

TlsOption = Annotated[
    bool, typer.Option("--tls", help="Also serve ARM over HTTPS, with a private CA, for the Azure CLI.")
]
PortOption = Annotated[
    int, typer.Option(min=0, max=65535, help="ARM port; 0 keeps the last one or takes a free one.")
]


@app.command(epilog="Example: remora cloud start")
def start(port: PortOption = 0, tls: TlsOption = False, output: OutputOption = Mode.HUMAN) -> None:
    """Start the local cloud, unless it is already running."""
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
    text = f"The local cloud runs at {connection['arm_url']}; {_watched(home, connection)}"
    out.result("cloud", _document(home, connection), text)


@app.command(epilog="Example: remora cloud install")
def install(output: OutputOption = Mode.HUMAN) -> None:
    """Let systemd or launchd start the local cloud at every sign-in, and restart it when it dies."""
    out = Output(output)
    home = remora_home()
    watcher = supervisor(home)
    known = running(home)
    with out.step(f"telling {watcher.name}") as say:
        if known is not None and not watcher.watches(int(known["pid"])):
            _stop(int(known["pid"]), say)  # two clouds cannot use one folder
        watcher.install()
        connection = _until_running(home, lambda: None)
    out.result("cloud", _document(home, connection), f"{watcher.name} runs the local cloud: {watcher.file}")


@app.command(epilog="Example: remora cloud uninstall")
def uninstall(output: OutputOption = Mode.HUMAN) -> None:
    """Undo `remora cloud install`. The local cloud stops; the next command that needs it starts it."""
    out = Output(output)
    watcher = supervisor(remora_home())
    with out.step(f"telling {watcher.name}"):
        watcher.uninstall()
    out.result("cloud", {"running": False}, f"{watcher.name} no longer runs the local cloud")


KeepSharesOption = Annotated[
    bool, typer.Option("--keep-shares", help="Keep the files on the shares: models, adapters, history.")
]


@app.command(epilog="Example: remora cloud reset --keep-shares --yes")
def reset(
    keep_shares: KeepSharesOption = False, yes: YesOption = False, output: OutputOption = Mode.HUMAN
) -> None:
    """Start again with an empty local cloud, if its state is damaged. The old state is moved aside."""
    out = Output(output)
    home = remora_home()
    what = "all resources of the local cloud" + ("" if keep_shares else ", and all files on its shares")
    out.confirm(f"Discard {what}?", assume_yes=yes)
    with out.step("resetting the local cloud") as say:
        if (connection := running(home)) is not None:
            _stop(int(connection["pid"]), say)
        aside = _set_aside(home, keep_shares=keep_shares)
    kept = "shares are kept" if keep_shares else "nothing is kept"
    text = f"The local cloud is empty; {kept}. The old state is in {aside}\nProvision again with: remora up"
    out.result("cloud.reset", {"kept_shares": keep_shares, "aside": str(aside)}, text)


@app.command(epilog="Example: remora cloud stop")
def stop(output: OutputOption = Mode.HUMAN) -> None:
    """Stop the local cloud and its apps; its resources and files stay."""
    out = Output(output)
    connection = running(remora_home())
    if connection is None:
        out.result("cloud", {"running": False}, "The local cloud is not running")
        return
    with out.step("stopping the local cloud") as say:
        _stop(int(connection["pid"]), say)
    out.result("cloud", {"running": False}, "The local cloud has stopped; its resources and files are kept")


@app.command(epilog="Example: remora cloud status --output json")
def status(output: OutputOption = Mode.HUMAN) -> None:
    """Show whether the local cloud runs, and where."""
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
        f"  watch  {_watched(home, connection)}",
        "  image  container images are not pulled: containers are processes of this machine",
        f"  writes {_ISOLATED if connection.get('isolated') else _NOT_ISOLATED}",
    ]
    out.result("cloud", _document(home, connection), "\n".join(lines))


@app.command(epilog='Example: eval "$(remora cloud env)"')
def env(output: OutputOption = Mode.HUMAN) -> None:
    """Print shell exports for other tools that use the local cloud."""
    out = Output(output)
    connection = ensure_running(remora_home(), out)
    variables = {
        "AZURE_SUBSCRIPTION_ID": connection["subscription_id"],
        "AZURE_TENANT_ID": connection["tenant_id"],
        "REMORA_LOCAL_ARM_URL": connection["arm_url"],
        "REMORA_LOCAL_FILES_URL": connection["files_url"],
        "REMORA_LOCAL_TOKEN": connection["token"],
    }
    if connection.get("arm_tls_url"):  # the Azure CLI needs these to trust it and to sign in
        variables |= {
            "REMORA_LOCAL_ARM_TLS_URL": connection["arm_tls_url"],
            "REMORA_LOCAL_FILES_TLS_URL": connection["files_tls_url"],
            "REQUESTS_CA_BUNDLE": connection["ca_file"],
            "IDENTITY_ENDPOINT": connection["identity_endpoint"],
            "IDENTITY_HEADER": connection["identity_header"],
        }
    exports = "\n".join(f"export {name}={value}" for name, value in variables.items())
    out.result("cloud.env", {"environment": variables}, exports)


def running(home: Path) -> dict[str, Any] | None:
    """The connection of a running local cloud, or None."""
    connection = local_connection(home)
    if connection is None:
        return None
    try:
        healthy = httpx.get(f"{connection['arm_url']}/healthz", timeout=_HEALTH_SECONDS).is_success
    except httpx.HTTPError:
        return None
    # A killed cloud leaves its file behind, and the next one may answer at the same port.
    return local_connection(home) if healthy else None


def ensure_running(home: Path, out: Output, *, port: int = 0, tls: bool = False) -> dict[str, Any]:
    """The connection of the local cloud, started if needed. Raises CloudUnavailable with its last lines."""
    connection = running(home)
    if connection is not None:
        return connection
    with out.step("starting the local cloud"):
        return _start(home, port, tls)


def _start(home: Path, port: int, tls: bool) -> dict[str, Any]:
    if not port and not tls and supervisor(home).start_now():
        return _until_running(home, lambda: None)
    folder = home / "cloud"
    log = folder / "cloud.log"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        stream = log.open("ab")
    told, tell = os.pipe()  # a pipe, because the reason for a failed start may be a full disk
    flags = ["--port", str(port), "--report", str(tell), *(["--tls"] if tls else [])]
    command = emulator_command(home, "start", *flags)
    with stream, open(told, "rb", buffering=0) as report:  # noqa: PTH123 - a descriptor
        os.set_blocking(told, False)
        written_before = stream.tell()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
            pass_fds=(tell,),
        )
        os.close(tell)

        def why_not() -> RemoraError | None:
            if process.poll() in (None, Locked.exit_code):  # locked: another process is starting it
                return None
            reported = _reported(report.read() or b"", home, "the local cloud did not start: ")
            return reported or CloudUnavailable(
                f"the local cloud did not start: {_last_words(log, written_before)}", hint=f"read {log}"
            )

        return _until_running(home, why_not)


def _until_running(home: Path, why_not: Callable[[], RemoraError | None]) -> dict[str, Any]:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if (connection := running(home)) is not None:
            return connection
        if (error := why_not()) is not None:
            raise error
        time.sleep(_POLL_SECONDS)
    log = home / "cloud" / "cloud.log"
    raise CloudUnavailable(f"the local cloud did not start in {START_SECONDS:.0f} s", hint=f"read {log}")


def _set_aside(home: Path, *, keep_shares: bool) -> str:
    """Let the local cloud's own program reset its state; returns where the old state is now."""
    told, tell = os.pipe()
    flags = ["--report", str(tell), *(["--keep-shares"] if keep_shares else [])]
    with open(told, "rb") as report:  # noqa: PTH123 - a descriptor
        try:
            ran = subprocess.run(
                emulator_command(home, "reset", *flags),
                capture_output=True,
                text=True,
                pass_fds=(tell,),
                check=False,
            )
        finally:
            os.close(tell)
        if ran.returncode:
            raise _reported(report.read(), home, "") or CloudUnavailable(
                f"the local cloud was not reset: {ran.stderr.strip()}", hint="run: remora cloud status"
            )
    return ran.stdout.strip()


def _reported(report: bytes, home: Path, before: str) -> RemoraError | None:
    """The error that a local cloud reported before it exited; None if it reported none."""
    try:
        told = json.loads(report)
    except ValueError:
        return None
    kinds = {kind.code: kind for kind in _kinds(RemoraError)}
    message = f"{before}{told['message']}"
    return kinds.get(told["code"], CloudUnavailable)(
        message, hint=told["hint"] or f"read {home}/cloud/cloud.log"
    )


def _kinds(kind: type[RemoraError]) -> Iterator[type[RemoraError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _kinds(child)


def _last_words(log: Path, start: int) -> str:
    with log.open("rb") as stream:
        stream.seek(start)
        lines = stream.read().decode(errors="replace").strip().splitlines()
    return " / ".join(lines[-_LOG_TAIL_LINES:]) or "it printed nothing"


def _watched(home: Path, connection: dict[str, Any]) -> str:
    watcher = supervisor(home)
    if watcher.watches(int(connection["pid"])):
        return f"{watcher.name} restarts it when it dies"
    return "if it dies, the next command restarts it; to have it watched: remora cloud install"


def _stop(pid: int, say: Step) -> None:
    """End the cloud and wait for it: it waits for its replicas, each as long as its grace period."""
    os.kill(pid, signal.SIGTERM)
    started = time.monotonic()
    while (spent := time.monotonic() - started) < STOP_SECONDS:
        if not _lives(pid):
            return
        if spent > SLOW_STOP_SECONDS:
            say.now(f"process {pid} waits for replicas to end; to end it at once: kill -9 {pid}")
        time.sleep(_POLL_SECONDS)
    raise CloudUnavailable(f"the local cloud (process {pid}) does not stop", hint=f"run: kill -9 {pid}")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Whether it is a dead child process that has not been reaped yet: that still has a pid."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False


def _document(home: Path, connection: dict[str, Any]) -> dict[str, Any]:
    public = (
        "pid",
        "arm_url",
        "files_url",
        "arm_tls_url",
        "files_tls_url",
        "ca_file",
        "subscription_id",
        "version",
    )
    isolated = bool(connection.get("isolated"))
    return {
        "running": True,
        **{key: connection[key] for key in public if connection.get(key)},
        "isolated": isolated,
        "supervised": supervisor(home).watches(int(connection["pid"])),
    }
