"""Programs that listen on a port of their own choice, whatever PORT says: who has which port of this machine.

In a container on Azure that port is the target port, and every replica has one of its own. Here all share one
machine, so such a program gets its port for itself: one replica at a time, the next one when it has ended.
Which program a port belongs to is read from /proc; where there is none, such programs are not found.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final

LISTENING: Final = "0A"  # a socket's state in /proc/net/tcp


class PortTaken(Exception):
    """The port is another's, who will not leave; the message says whose."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """A replica that wants or has a port. `leave` asks it to end; it may be on its way out already.

    `revision` is the number of its revision: a newer one follows an older one, never the other way round.
    """

    replica: str
    app: str
    revision: int
    port: int
    command: tuple[str, ...]
    leave: Callable[[], None]


class OwnPorts:
    """The ports that replicas have taken, and the programs that are known to take one."""

    def __init__(self) -> None:
        self._tenants: dict[int, Tenant] = {}
        self._known: set[tuple[int, tuple[str, ...]]] = set()
        self._changed = asyncio.Event()

    def is_known(self, port: int, command: tuple[str, ...]) -> bool:
        """Whether a program with this command was seen to take the port."""
        return (port, command) in self._known

    def learn(self, port: int, command: tuple[str, ...]) -> None:
        self._known.add((port, command))

    def take(self, tenant: Tenant) -> None:
        """It listens there."""
        self.learn(tenant.port, tenant.command)
        self._tenants[tenant.port] = tenant

    def give_back(self, port: int, replica: str) -> None:
        """It has ended; one that had no port is a no-op."""
        if self.holder(port) == replica:
            del self._tenants[port]
            self._changed.set()
            self._changed = asyncio.Event()

    def holder(self, port: int) -> str | None:
        """The replica that listens there."""
        tenant = self._tenants.get(port)
        return tenant.replica if tenant else None

    async def wait_for(self, wanted: Tenant, *, may_replace: bool) -> None:
        """Return when the port is free, for a program that is known to need it; at once for any other.

        If `may_replace`, a replica of the same app, of an older revision or its own, is asked to leave, and
        the port is kept for the one that waits. Raises PortTaken.
        """
        while self.is_known(wanted.port, wanted.command) and wanted.port in self._tenants:
            tenant = self._tenants[wanted.port]
            if tenant.app != wanted.app or tenant.revision > wanted.revision or not may_replace:
                raise PortTaken(
                    f"port {wanted.port} of this machine is in use by replica '{tenant.replica}',"
                    " whose program listens there whatever PORT says"
                )
            tenant.leave()
            await self._changed.wait()
        if may_replace and self.is_known(wanted.port, wanted.command):
            self._tenants[wanted.port] = wanted  # nobody comes first while it starts


def listening_address(session: int, port: int) -> str | None:
    """The address that a process of this session listens on at a port; None where none does."""
    sockets = {f"socket:[{inode}]": address for inode, address in _listeners(port)}
    if not sockets:
        return None
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError):
            if _session(folder) != session:
                continue
            for descriptor in (folder / "fd").iterdir():
                with suppress(OSError):
                    if (found := sockets.get(str(descriptor.readlink()))) is not None:
                        return found
    return None


def _session(process: Path) -> int:
    return int((process / "stat").read_text().rpartition(")")[2].split()[3])


def _listeners(port: int) -> Iterator[tuple[str, str]]:
    """(inode, address) of every socket that listens on the port, as the kernel's table has it."""
    for name in ("tcp", "tcp6"):
        try:
            rows = (Path("/proc/net") / name).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            _, local, _, state, *_, inode = row.split()[:10]
            address, _, number = local.partition(":")
            if state == LISTENING and int(number, 16) == port:
                yield inode, _address(address)


def _address(text: str) -> str:
    """Four bytes at a time in the machine's byte order, as hexadecimal digits."""
    words = [bytes.fromhex(text[at : at + 8]) for at in range(0, len(text), 8)]
    raw = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    return str(IPv4Address(raw) if len(raw) == 4 else IPv6Address(raw))
