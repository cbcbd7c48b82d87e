"""Long-running operations: written down before they start, run as tasks, run again after a crash."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from datetime import timedelta

from remora.localcloud.arm.resource import ArmError
from remora.localcloud.arm.timestamps import now_text
from remora.localcloud.state import Json, State

_KIND = "operations"
_KEEP = timedelta(days=1)
_log = logging.getLogger(__name__)

IN_PROGRESS = "InProgress"


@dataclass(frozen=True, slots=True)
class Operation:
    """One piece of work on one target, an id. `status` is InProgress, Succeeded, Failed or Canceled."""

    id: str
    kind: str
    target: str
    status: str
    start_time: str
    error: Json | None = None
    error_status: int = 0
    result: Json | None = None


class Operations:
    """`run` functions by kind do the work; they must be safe to run again from the start."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._runners: dict[str, Callable[[Operation], Awaitable[None]]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def register(self, kind: str, run: Callable[[Operation], Awaitable[None]]) -> None:
        self._runners[kind] = run

    def begin(self, kind: str, target: str, *, operation_id: str = "") -> Operation:
        """Write the operation down and start it; its work begins when the caller next awaits."""
        start_time = now_text()
        operation = Operation(operation_id or str(uuid.uuid4()), kind, target, IN_PROGRESS, start_time)
        self._save(operation)
        self._start(operation)
        return operation

    def note(self, kind: str, target: str, result: Json) -> Operation:
        """Write down what is done already, for clients that come to fetch the result."""
        operation = Operation(str(uuid.uuid4()), kind, target, "Succeeded", now_text(), result=result)
        self._save(operation)
        return operation

    def get(self, operation_id: str) -> Operation | None:
        body = self._state.get(_KIND, operation_id)
        return None if body is None else Operation(**body)

    def active(self, target: str) -> Operation | None:
        """The unfinished operation on a target."""
        for operation_id in self._tasks:
            operation = self.get(operation_id)
            if operation is not None and operation.target.lower() == target.lower():
                return operation
        return None

    async def finished(self, operation: Operation) -> Operation:
        """Wait for the end of an operation and return it as it ended."""
        task = self._tasks.get(operation.id)
        if task is not None:
            await asyncio.wait([task])
        return self.get(operation.id) or operation

    async def cancel(self, operation: Operation) -> None:
        """Stop the work where it is."""
        self._save(replace(operation, status="Canceled"))
        task = self._tasks.get(operation.id)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def resume(self) -> None:
        """After a restart: run again what was not finished, forget what ended long ago."""
        too_old = now_text(ago=_KEEP)
        for _, body in self._state.list(_KIND):
            operation = Operation(**body)
            if operation.status == IN_PROGRESS:
                self._start(operation)
            elif operation.start_time < too_old:
                self._state.delete(_KIND, operation.id)

    async def stop(self) -> None:
        """Interrupt what runs; it stays unfinished on disk, to be resumed."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _start(self, operation: Operation) -> None:
        task = asyncio.create_task(self._run(operation), name=f"{operation.kind} {operation.target}")
        self._tasks[operation.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(operation.id, None))

    async def _run(self, operation: Operation) -> None:
        try:
            await self._runners[operation.kind](operation)
        except ArmError as error:
            failed = replace(operation, status="Failed", error=error.to_json(), error_status=error.status)
            self._save(failed)
        except Exception:
            _log.exception("The %s of %s failed", operation.kind, operation.target)
            error_json = {"code": "InternalServerError", "message": "The local cloud failed; see its log."}
            self._save(replace(operation, status="Failed", error=error_json, error_status=500))
        else:
            self._save(replace(operation, status="Succeeded"))

    def _save(self, operation: Operation) -> None:
        self._state.put(_KIND, operation.id, asdict(operation))
