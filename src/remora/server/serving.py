"""From a model set to an endpoint that listens, until it is told to stop. Owns the order of a start."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

from remora.adapters.adapter import short
from remora.adapters.examples import Examples, read_examples
from remora.adapters.model_set import ModelSet, remark_notes, sampling_notes
from remora.adapters.registry import AdapterRegistry
from remora.adapters.shared import SharedModels
from remora.adapters.starting_note import StartingNote
from remora.collector import keep_loaded
from remora.engine.base import Engine
from remora.engine.loading import PROGRESS
from remora.server.access.key_ring import KeyRing
from remora.server.app import admission_of, create_app, key_ring
from remora.server.listening import Report, run
from remora.server.roster.proving import Prover
from remora.server.roster.reconcile import Reconciler
from remora.server.roster.roster import Roster
from remora.server.settings import ServerSettings
from remora.server.starting import Starting
from remora.server.supervision import Supervisor
from remora.server.telemetry.log_lines import json_log, log_request
from remora.server.telemetry.request_log import RecordSink
from remora.server.telemetry.tracing import tracing


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
    note = StartingNote.of_replica(share.share, os.environ) if share else None
    with (
        Starting(listener, page=settings.chat_page, note=note) as starting,
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
            keep_loaded()
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


@contextmanager
def _reload_on_hangup(keys: KeyRing) -> Iterator[None]:
    """SIGHUP reads the file of keys again; without this it would end the process."""
    before = signal.signal(signal.SIGHUP, lambda *_: keys.reload())
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
