"""The lock on a share: only one command at a time can change what an endpoint serves.

A command holds `.remora/lock` with a lease of the file service. The file names the holder, and is rewritten
every few seconds, so that its age (by the server's clock) shows whether the holder is alive. A dead holder's
lease is taken over by compare-and-swap on the lease's id, so only one of two commands gets it. A holder that
was only suspended (a closed laptop) is refused at its next change: app and share are changed only through the
held lock. Changes neither of them itself.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any

from remora.adapters.store import ROOT
from remora.azure.app.apps import ContainerApp
from remora.azure.share.files import Share
from remora.azure.share.lease import Held, LeasedFile
from remora.errors import Locked, RemoraError
from remora.rollout.share.person import cut, host, who

LOCK = ROOT / "lock"
_COMMAND_BYTES = 240  # of the document's bytes; a quote or backslash takes two
_FRESH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class LockTimes:
    """A holder without a heartbeat for `stale_seconds` is dead.

    A holder of the lease has `settle_seconds` to write its name.
    """

    heartbeat_seconds: float = 10.0
    stale_seconds: float = 60.0
    settle_seconds: float = 3.0


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds the lock.

    `place` distinguishes machines (and containers) whose processes do not see each other, `started` two
    processes that had the same number; both are "" if the system does not report them.
    """

    who: str
    host: str
    place: str
    pid: int
    started: str
    command: str
    since: str
    lease_id: str

    @property
    def is_gone(self) -> bool:
        """Whether the process ran on this machine and has ended."""
        here = _place()
        return bool(here) and self.place == here and _started(self.pid) != self.started

    def __str__(self) -> str:
        return f"{self.who} on {self.host} (pid {self.pid}, {self.command!r}, since {self.since})"


class HeldLock:
    """The lock, held until its context ends.

    `share` and what `fence` returns refuse every change once the lock is lost. That includes the undo of
    earlier changes, because another command may already have taken them over.
    """

    def __init__(self, share: Share, file: LeasedFile, holder: Holder) -> None:
        self.share = share.fenced(self._confirm_lately)
        self._file = file
        self._holder = holder
        self._lost = False
        self._confirmed_at = 0.0

    @property
    def is_lost(self) -> bool:
        """Whether this process knows that another one has the lock."""
        return self._lost

    def fence(self, app: ContainerApp) -> ContainerApp:
        """The app, with a check before each change that we still hold the lock."""
        return app.fenced(self.confirm)

    def confirm(self) -> None:
        """Write a heartbeat. Raises Locked, now and always, if another process has taken over the lock."""
        content = json.dumps(asdict(self._holder), ensure_ascii=False).encode()
        if self._lost or not self._file.write(self._holder.lease_id, content):
            self._lost = True
            other = _told(_holder_of(self._file.read()))
            raise Locked(
                f"this process gave no sign of life for too long, and {other} took over the share's lock",
                hint="run the command again; it reuses or removes what this run started",
            )
        self._confirmed_at = time.time()

    def _confirm_lately(self) -> None:
        """`confirm`, unless that was done very recently: a share is changed in many small steps.

        A lock is taken over only after a much longer silence. The clock used here continues while a machine
        is suspended.
        """
        if self._lost or abs(time.time() - self._confirmed_at) > _FRESH_SECONDS:
            self.confirm()


@contextmanager
def locked(share: Share, command: str, times: LockTimes | None = None) -> Iterator[HeldLock]:
    """Hold the share's lock while the block runs; other commands are shown `command` as the reason.

    Raises Locked, naming the holder. The lock is released when the block ends, also by Ctrl+C.
    """
    times = times or LockTimes()
    file = LeasedFile(share, LOCK)
    holder = _ourselves(command)
    _take(file, holder, times)
    held = HeldLock(share, file, holder)
    ended = Event()
    heart = Thread(target=_beat, args=(held, ended, times.heartbeat_seconds), daemon=True)
    try:
        held.confirm()
        heart.start()
        yield held
    finally:
        ended.set()
        with suppress(RemoraError):  # the cloud cannot be reached: the next command sees that we have ended
            file.release(holder.lease_id)


def holder_of(share: Share) -> Holder | None:
    """The last holder of the lock, for display; the lock may be free again."""
    return _holder_of(LeasedFile(share, LOCK).read())


def present_holder(share: Share) -> Holder | None:
    """Who holds the lock now; None if it is free."""
    found = LeasedFile(share, LOCK).read()
    return _holder_of(found) if found.leased else None


def _take(file: LeasedFile, holder: Holder, times: LockTimes) -> None:
    """Take a free lock, or a dead holder's. Raises Locked."""
    if file.acquire(holder.lease_id):
        return
    found = file.read()
    former = _holder_of(found)
    if former is not None and not _is_dead(former, found, times):
        raise _refusal(former)
    if former is not None and file.take_over(holder.lease_id, former.lease_id):
        return
    # A process has the lease, but the document does not name it: it has only just taken it, or died before it
    # wrote its name. To distinguish the two, wait whether the document changes.
    time.sleep(times.settle_seconds)
    now = file.read()
    if now.content == found.content:
        file.break_lease()
    if not file.acquire(holder.lease_id):
        raise _refusal(_holder_of(file.read()))


def _is_dead(former: Holder, found: Held, times: LockTimes) -> bool:
    return former.is_gone or found.age_seconds > times.stale_seconds


def _refusal(holder: Holder | None) -> Locked:
    return Locked(
        f"the share is locked by {_told(holder)}",
        hint="run the command again when that has ended; if its process is dead, the lock is taken over",
    )


def _told(holder: Holder | None) -> str:
    return str(holder) if holder else "a command that has just started"


def _beat(held: HeldLock, ended: Event, seconds: float) -> None:
    """Write heartbeats. A failed one is ignored: the next step confirms the lock and raises."""
    while not ended.wait(seconds):
        with suppress(RemoraError):
            held.confirm()


def _holder_of(found: Held) -> Holder | None:
    """The holder named in the document; None if it names none or is incomplete."""
    try:
        document: dict[str, Any] = json.loads(found.content)
        return Holder(**document)
    except (ValueError, TypeError):
        return None


def _ourselves(command: str) -> Holder:
    return Holder(
        who=who(),
        host=host(),
        place=_place(),
        pid=os.getpid(),
        started=_started(os.getpid()),
        command=cut(command, _COMMAND_BYTES),
        since=datetime.now(UTC).isoformat(timespec="seconds"),
        lease_id=str(uuid.uuid4()),
    )


def _place() -> str:
    """An id of this machine's boot and process namespace; "" if the system does not report it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """The start time of a process from the kernel (proc(5), field 22 of stat); "" if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (OSError, UnicodeDecodeError):
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]
