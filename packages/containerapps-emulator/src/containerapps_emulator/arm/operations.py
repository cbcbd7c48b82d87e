"""Long-running operations: recorded before they start, run as tasks, and run again after a crash."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from datetime import timedelta

from containerapps_emulator.arm.resources.resource import ArmError, as_arm_error
from containerapps_emulator.arm.timestamps import now_text
from containerapps_emulator.background import in_background
from containerapps_emulator.state import Json, State

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
    end_time: str = ""


class Operations:
    """Runs one function per kind of operation; each must be safe to run again from the start."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._runners: dict[str, Callable[[Operation], Awaitable[None]]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._unsaved: dict[str, Operation] = {}  # ended, but could not be saved

    def register(self, kind: str, run: Callable[[Operation], Awaitable[None]]) -> None:
        self._runners[kind] = run

    def begin(self, kind: str, target: str, *, operation_id: str = "") -> Operation:
        """Record the operation and start it; its work begins when the caller next awaits."""
        start_time = now_text()
        operation = Operation(operation_id or str(uuid.uuid4()), kind, target, IN_PROGRESS, start_time)
        self._save(operation)
        self._start(operation)
        return operation

    def note(self, kind: str, target: str, result: Json | None) -> Operation:
        """Record an operation that is already done, for clients that fetch its result."""
        operation = Operation(str(uuid.uuid4()), kind, target, "Succeeded", now_text(), result=result)
        self._save(operation)
        return operation

    def get(self, operation_id: str) -> Operation | None:
        if operation_id in self._unsaved:
            return self._unsaved[operation_id]
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
        """Wait until an operation ends and return its final state."""
        task = self._tasks.get(operation.id)
        if task is not None:
            await asyncio.wait([task])
        return self.get(operation.id) or operation

    async def cancel(self, operation: Operation) -> None:
        """Stop the operation."""
        self._save(replace(operation, status="Canceled"))
        task = self._tasks.get(operation.id)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def resume(self) -> None:
        """After a restart: run unfinished operations again, and delete old finished ones."""
        too_old = now_text(ago=_KEEP)
        for _, body in self._state.list(_KIND):
            operation = Operation(**body)
            if operation.status == IN_PROGRESS:
                self._start(operation)
            elif operation.start_time < too_old:
                self._state.delete(_KIND, operation.id)

    async def stop(self) -> None:
        """Interrupt running operations; they stay unfinished on disk, and `resume` runs them again."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _start(self, operation: Operation) -> None:
        task = in_background(self._run(operation), f"the {operation.kind} of {operation.target}")
        self._tasks[operation.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(operation.id, None))

    async def _run(self, operation: Operation) -> None:
        try:
            await self._runners[operation.kind](operation)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._fail(operation, RuntimeError("something that it waited for was cancelled"))
        except Exception as error:
            self._fail(operation, error)
        else:
            self._end(replace(operation, status="Succeeded"))

    def _fail(self, operation: Operation, error: Exception) -> None:
        if not isinstance(error, ArmError):
            _log.error("The %s of %s failed", operation.kind, operation.target, exc_info=error)
        told = as_arm_error(error)
        self._end(replace(operation, status="Failed", error=told.to_json(), error_status=told.status))

    def _end(self, operation: Operation) -> None:
        """If the end cannot be saved, keep it in memory; the operation runs again after a restart."""
        operation = replace(operation, end_time=now_text())
        try:
            self._save(operation)
        except Exception:
            _log.exception("The end of the %s of %s is not written down", operation.kind, operation.target)
            self._unsaved[operation.id] = operation

    def _save(self, operation: Operation) -> None:
        self._state.put(_KIND, operation.id, asdict(operation))
