"""The lock on a share: one command at a time may change what an endpoint serves.

`.remora/lock` is held by a lease of the file service; its content says who holds it, and is written anew
every few seconds, so that its age (by the server's clock) tells whether the holder lives. A dead holder's
lease is taken over by compare-and-swap on the lease's id, so of two that find it dead one gets it. A holder
that was only asleep (a closed laptop) learns it from `confirm`, to be called before every step that others
would notice.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
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
from remora.azure.files import Share
from remora.azure.lease import Held, LeasedFile
from remora.errors import Locked, RemoraError

LOCK = ROOT / "lock"
_LONGEST_COMMAND_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class LockTimes:
    """Without a heartbeat for `stale_seconds` a holder is dead.

    `settle_seconds` are given to one that has the lease but has not said who it is.
    """

    heartbeat_seconds: float = 10.0
    stale_seconds: float = 60.0
    settle_seconds: float = 3.0


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the lock.

    `place` tells machines (and containers) apart whose processes do not see each other, `started` two
    processes that had the same number; both are "" where the system does not say.
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
        """Whether this machine knows that the process has ended."""
        here = _place()
        return bool(here) and self.place == here and _started(self.pid) != self.started

    def __str__(self) -> str:
        return f"{self.who} on {self.host} (pid {self.pid}, {self.command!r}, since {self.since})"


class HeldLock:
    """The lock, in our hands until its context ends."""

    def __init__(self, file: LeasedFile, holder: Holder) -> None:
        self._file = file
        self._holder = holder

    def confirm(self) -> None:
        """Say that we live. Raises Locked where somebody took us for dead and took over."""
        content = json.dumps(asdict(self._holder)).encode()
        if not self._file.write(self._holder.lease_id, content):
            other = _told(_holder_of(self._file.read()))
            raise Locked(
                f"this process was silent for too long, and the share's lock went to {other}",
                hint="run the command again; what it had begun is taken up or cleared away",
            )


@contextmanager
def locked(share: Share, command: str, times: LockTimes | None = None) -> Iterator[HeldLock]:
    """Hold the share's lock while the block runs; `command` is what others are told that we do.

    Raises Locked, naming the holder. Whatever ends the block gives the lock back, Ctrl+C too.
    """
    times = times or LockTimes()
    file = LeasedFile(share, LOCK)
    holder = _ourselves(command)
    _take(file, holder, times)
    held = HeldLock(file, holder)
    ended = Event()
    heart = Thread(target=_beat, args=(held, ended, times.heartbeat_seconds), daemon=True)
    try:
        held.confirm()
        heart.start()
        yield held
    finally:
        ended.set()
        with suppress(RemoraError):  # a cloud out of reach: the next one sees that we are gone
            file.release(holder.lease_id)


def holder_of(share: Share) -> Holder | None:
    """Who held the lock last, for those who only look; it may be free again."""
    return _holder_of(LeasedFile(share, LOCK).read())


def _take(file: LeasedFile, holder: Holder, times: LockTimes) -> None:
    """Take a free lock, or that of a dead holder. Raises Locked."""
    if file.acquire(holder.lease_id):
        return
    found = file.read()
    former = _holder_of(found)
    if former is not None and not _is_dead(former, found, times):
        raise _refusal(former)
    if former is not None and file.take_over(holder.lease_id, former.lease_id):
        return
    # Somebody has the lease and the document does not say who: they have only just taken it, or died before
    # they could say. Only a document that stays as it is for long enough tells the two apart.
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
        hint="run the command again when that has ended; the lock of a dead one is taken over by itself",
    )


def _told(holder: Holder | None) -> str:
    return str(holder) if holder else "a command that has only just begun"


def _beat(held: HeldLock, ended: Event, seconds: float) -> None:
    """A beat that fails is no end: the next step confirms the lock and says what happened."""
    while not ended.wait(seconds):
        with suppress(RemoraError):
            held.confirm()


def _holder_of(found: Held) -> Holder | None:
    """None where the document does not say, or is only half of one."""
    try:
        document: dict[str, Any] = json.loads(found.content)
        return Holder(**document)
    except (ValueError, TypeError):
        return None


def _ourselves(command: str) -> Holder:
    return Holder(
        who=getpass.getuser(),
        host=socket.gethostname(),
        place=_place(),
        pid=os.getpid(),
        started=_started(os.getpid()),
        command=command[:_LONGEST_COMMAND_CHARACTERS],
        since=datetime.now(UTC).isoformat(timespec="seconds"),
        lease_id=str(uuid.uuid4()),
    )


def _place() -> str:
    """This boot of this machine, and the process namespace in it; "" where the system does not say."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """When the kernel says that a process began (proc(5), field 22 of stat); "" for one that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (OSError, UnicodeDecodeError):
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]
