"""From a model set to an endpoint that listens, until it is told to stop. Owns the socket and the signals."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from remora.adapters.adapter import short
from remora.adapters.examples import Examples, read_examples
from remora.adapters.model_set import ModelSet, remark_notes, sampling_notes
from remora.adapters.registry import AdapterRegistry
from remora.adapters.shared import SharedModels
from remora.engine.base import Engine
from remora.engine.loading import PROGRESS
from remora.errors import InvalidInput, PortInUse
from remora.server.access.admission import Admission
from remora.server.access.key_ring import KeyRing
from remora.server.app import admission_of, create_app, key_ring
from remora.server.roster.proving import Prover
from remora.server.roster.reconcile import Reconciler
from remora.server.roster.roster import Roster
from remora.server.settings import ServerSettings
from remora.server.starting import Starting
from remora.server.supervision import Supervisor
from remora.server.telemetry.log_lines import json_log, log_request
from remora.server.telemetry.request_log import RecordSink
from remora.server.telemetry.tracing import tracing
from remora.server.wire.http_protocol import BoundedHttpProtocol, http_protocol

BACKLOG = 2048
IDLE_CONNECTION_SECONDS = 75  # longer than a proxy keeps one, so that it is never us who close it first
LEFTOVER_SECONDS = 1  # for connections that make no text, such as a page left open
_IN_USE = frozenset({errno.EADDRINUSE})

Report = Callable[[str], None]
EarlyConnections = Callable[[], Sequence[socket.socket]]


def bind(host: str, port: int) -> socket.socket:
    """Take the port, before anything slow happens. Raises PortInUse, or InvalidInput for a foreign host.

    It listens at once: while a model is loaded connections wait, where a closed port would be taken for a
    dead container.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol spelt out asyncio sets TCP_NODELAY; without, tokens wait for Nagle's delay.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        raise _bind_error(host, port, error) from error
    return listener


def serve(
    listener: socket.socket,
    models: ModelSet,
    load: Callable[[ModelSet], Engine],
    settings: ServerSettings,
    report: Report,
    *,
    share: SharedModels | None = None,
    examples: Examples = tuple,
) -> None:
    """Load base and adapters, then answer on `listener` until SIGINT or SIGTERM; then return.

    The adapters are those of `models`, and those that `share` names now and whenever its aliases change. The
    pages offer the prompts that `examples` returns, or those on the share.
    """
    report = _as_far_as_it_can(report)
    keys = key_ring(settings)
    registry = AdapterRegistry.of(models)
    with (
        Starting(listener, page=settings.chat_page) as starting,
        _loaded(models, load, report, starting) as engine,
    ):
        for adapter in registry.adapters:
            applied = engine.load_adapter(adapter)
            report(f"loaded {adapter.name}@{short(adapter.digest)}: {applied.modules} modules")
        prover = Prover(engine, settings.proof, report)
        for adapter in registry.adapters:
            asyncio.run(prover.admit(adapter))
        admission, roster = admission_of(settings, keys), Roster(engine, registry, report, prover)
        tasks = [prover.task(registry)]
        if share is not None:
            reconciler = Reconciler(roster, share)
            asyncio.run(reconciler.reconcile())
            tasks.append(reconciler.task(share.look_seconds))
            examples = partial(read_examples, share.share)
        with _sinks(settings) as sinks, _reload_on_hangup(keys):
            app = create_app(
                engine,
                registry,
                settings,
                keys,
                admission=admission,
                roster=roster,
                base=models.base,
                supervisor=Supervisor(tasks),
                sinks=sinks,
                examples=examples,
            )
            run(
                app,
                listener,
                admission,
                settings,
                report,
                early=starting.hand_over,
            )


@contextmanager
def _loaded(
    models: ModelSet, load: Callable[[ModelSet], Engine], report: Report, starting: Starting
) -> Iterator[Engine]:
    """The engine with the base model, while the block runs; whoever asks meanwhile is told how far it is."""
    report(f"loading {models.base_name} from {models.base_path}")
    with loading_told(report, starting.tell):
        engine = load(models)
    starting.tell("loading adapters")
    for line in (*remark_notes(models.adapters), *sampling_notes(models)):
        report(f"note: {line}")
    try:
        yield engine
    finally:
        engine.close()


def _as_far_as_it_can(report: Report) -> Report:
    """A log that takes nothing, such as a file on a full disk, may not end what serves."""

    def told(line: str) -> None:
        with suppress(OSError):
            report(line)

    return told


@contextmanager
def loading_told(*reports: Report) -> Iterator[None]:
    """Within the block every line about the progress of loading is reported."""

    def emit(record: logging.LogRecord) -> None:
        for report in reports:
            report(record.getMessage())

    handler = logging.Handler()
    handler.emit = emit  # type: ignore[method-assign]
    before = PROGRESS.level
    PROGRESS.addHandler(handler)
    PROGRESS.setLevel(logging.INFO)
    try:
        yield
    finally:
        PROGRESS.removeHandler(handler)
        PROGRESS.setLevel(before)


@contextmanager
def _sinks(settings: ServerSettings) -> Iterator[list[RecordSink]]:
    """Where it is written what every request came to: the log, and traces where they are asked for."""
    with json_log(requests_too=settings.log_requests), tracing(os.environ) as spans:
        yield [log_request, spans] if spans else [log_request]


def run(
    app: ASGIApp,
    listener: socket.socket,
    admission: Admission,
    settings: ServerSettings,
    report: Report,
    *,
    early: EarlyConnections = tuple,
) -> None:
    """Answer on `listener` with this application until told to stop; then finish what runs, and return.

    `early` ends what answered there before, and returns the connections that it kept.
    """
    ready = f"ready on {_url(listener)}"
    server = DrainingServer(app, admission, settings, ready, report, early=early)
    with _signals_are_no_errors(), server.runner() as runner:
        runner.run(server.serve(sockets=[listener]))


class DrainingServer(uvicorn.Server):
    """Says when it is ready. Asked to stop it lets nobody in, finishes what runs, then closes the port.

    While it drains it still listens, so that a client hears 503 and where to turn instead of a closed port.
    After the settings' grace period, or when asked again, what runs is cut off with an error event.
    """

    def __init__(
        self,
        app: ASGIApp,
        admission: Admission,
        settings: ServerSettings,
        ready: str,
        report: Report,
        *,
        early: EarlyConnections = tuple,
    ) -> None:
        self._protocol = http_protocol(settings.unread_timeout_seconds)
        super().__init__(_config(app, self._protocol))
        self._early = early
        self._admission = admission
        self._grace_seconds = settings.graceful_shutdown_seconds
        self._grace_ends: float | None = None
        self._ready = ready
        self._report = report

    def runner(self) -> asyncio.Runner:
        """What to run `serve` with: uvloop's event loop, where there is one."""
        return asyncio.Runner(loop_factory=self.config.get_loop_factory())

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self._admission.draining:
            self._grace_seconds = 0.0
            self._grace_ends = None
        self._admission.drain()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second, as long as it serves."""
        if self._admission.draining and not self.should_exit:
            self._drain()
        return await super().on_tick(counter)

    def _drain(self) -> None:
        now, open_count = asyncio.get_running_loop().time(), self._admission.open_count
        if self._grace_ends is None:
            self._grace_ends = now + self._grace_seconds
            self._report(f"stopping; {open_count} still running" if open_count else "stopping")
        if not open_count:
            self.should_exit = True
        elif now >= self._grace_ends:
            self._admission.cut_off()
            self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        early = self._early()  # first, since two may not accept on one listener
        await super().startup(sockets=sockets)
        if self.started:
            self._report(self._ready)
        for connection in early:
            await self._take_over(connection)

    async def _take_over(self, connection: socket.socket) -> None:
        """Answer a connection that was accepted before this server listened, as uvicorn answers its own."""
        loop = asyncio.get_running_loop()
        with suppress(OSError):  # the client is gone
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.connect_accepted_socket(
                lambda: self._protocol(
                    config=self.config, server_state=self.server_state, app_state=self.lifespan.state
                ),
                connection,
            )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # A page left open is cut off after the grace period, and that is no fault to print a traceback for.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await super().shutdown(sockets=sockets)


def _config(app: ASGIApp, protocol: type[BoundedHttpProtocol]) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=protocol,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="on",
        backlog=BACKLOG,
        timeout_keep_alive=IDLE_CONNECTION_SECONDS,
        timeout_graceful_shutdown=LEFTOVER_SECONDS,
    )


@contextmanager
def _reload_on_hangup(keys: KeyRing) -> Iterator[None]:
    """SIGHUP reads the file of keys again; without this it would end the process."""
    before = signal.signal(signal.SIGHUP, lambda *_: keys.reload())
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


@contextmanager
def _signals_are_no_errors() -> Iterator[None]:
    """Who asked us to stop wants exit code 0, also where the signal comes before we serve or after."""
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}"


def _bind_error(host: str, port: int, error: Exception) -> InvalidInput:
    if isinstance(error, PermissionError):
        hint = "use a port above 1023"
        return InvalidInput(f"port {port} may not be used by this user", hint=hint, param="--port")
    if isinstance(error, OSError) and error.errno in _IN_USE:
        hint = f"stop what listens there, or choose another: --port {port + 1}"
        return PortInUse(f"port {port} on {host} is in use", hint=hint, param="--port")
    return InvalidInput(f"cannot listen on {host}:{port}: {error}", hint="use 127.0.0.1", param="--host")
