"""Owns `connection.json`, through which clients find the local cloud: it exists while the cloud listens."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

FILE_NAME = "connection.json"
_LOOK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the local cloud listens and how to authenticate. The last five are set only with `--tls`.

    `isolated`: containers cannot write outside their own folders. `principal_id` is whose token it is.
    """

    pid: int
    arm_url: str
    files_url: str
    token: str
    subscription_id: str
    tenant_id: str
    version: str
    isolated: bool = False
    principal_id: str = ""
    arm_tls_url: str | None = None
    files_tls_url: str | None = None
    ca_file: str | None = None
    identity_endpoint: str | None = None
    identity_header: str | None = None


def write_connection(folder: Path, connection: Connection) -> None:
    """Write the file atomically, readable only by its owner."""
    temporary = folder / f".{FILE_NAME}.{os.getpid()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(_encoded(connection))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / FILE_NAME)


async def keep_connection(folder: Path, connection: Connection, *, seconds: float = _LOOK_SECONDS) -> None:
    """Write the file again whenever it is damaged or gone: without it nobody finds this process."""
    path, content = folder / FILE_NAME, _encoded(connection)
    while True:
        await asyncio.sleep(seconds)
        with suppress(OSError):  # a full disk: later
            if not path.is_file() or path.read_bytes() != content:
                write_connection(folder, connection)


def remove_connection(folder: Path) -> None:
    (folder / FILE_NAME).unlink(missing_ok=True)


def _encoded(connection: Connection) -> bytes:
    document = {key: value for key, value in asdict(connection).items() if value is not None}
    return json.dumps(document, indent=2).encode()
