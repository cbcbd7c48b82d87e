"""Starts the local cloud (lock, state, sockets, services, connection.json) and stops it in reverse order."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path

from containerapps_emulator import __version__
from containerapps_emulator.app import Cloud, create_cloud
from containerapps_emulator.arm.identity import PATH as TOKEN_PATH
from containerapps_emulator.arm.identity import PRINCIPAL
from containerapps_emulator.arm.subscription import LOCAL_SUBSCRIPTION
from containerapps_emulator.connection import Connection, keep_connection, remove_connection, write_connection
from containerapps_emulator.errors import writing
from containerapps_emulator.listeners import HOST, Listener, bind, port_of
from containerapps_emulator.lock import only_one
from containerapps_emulator.state import State
from containerapps_emulator.storage.app import PROTOCOL as FILES_PROTOCOL


async def run_cloud(
    folder: Path,
    *,
    port: int | None,
    stop: asyncio.Event,
    ready: Callable[[Connection], None],
    tls: bool = False,
) -> None:
    """Serve from `folder` until `stop` is set; `ready` is called once clients can connect.

    `tls` serves ARM and Azure Files over HTTPS as well.

    Raises Locked if another process serves the folder, PortInUse if `port` is taken, CannotWrite or DiskFull
    if the disk refuses a write, DamagedState if the state cannot be read.
    """
    with writing(folder):
        await _serve_alone(folder, port, stop, ready, tls=tls)


async def _serve_alone(
    folder: Path,
    port: int | None,
    stop: asyncio.Event,
    ready: Callable[[Connection], None],
    *,
    tls: bool,
) -> None:
    _make_private(folder)
    with only_one(folder):
        remove_connection(folder)  # a crashed process leaves it behind
        state = State(folder / "state.sqlite3")
        try:
            await _serve(folder, state, port, stop, ready, tls=tls)
        finally:
            state.close()


def _make_private(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)


async def _serve(
    folder: Path,
    state: State,
    port: int | None,
    stop: asyncio.Event,
    ready: Callable[[Connection], None],
    *,
    tls: bool,
) -> None:
    arm_socket, files_socket = bind(state, "arm", port), bind(state, "files")
    arm_url, files_url = (f"http://{HOST}:{port_of(bound)}" for bound in (arm_socket, files_socket))
    cloud = create_cloud(folder, state, arm_url=lambda: arm_url, files_url=lambda: files_url)
    listeners = [
        Listener(cloud.arm_app, arm_socket),
        Listener(cloud.files_app, files_socket, http=FILES_PROTOCOL),
    ]
    connection = Connection(
        pid=os.getpid(),
        arm_url=arm_url,
        files_url=files_url,
        token=cloud.identity.token,
        subscription_id=LOCAL_SUBSCRIPTION.id,
        tenant_id=LOCAL_SUBSCRIPTION.tenant_id,
        version=__version__,
        isolated=await cloud.isolates(),
        principal_id=PRINCIPAL,
    )
    if tls:
        secure, connection = _secure(folder, state, cloud, connection)
        listeners += secure
    try:
        await cloud.start()
        for listener in listeners:
            await listener.start()
        write_connection(folder, connection)
        ready(connection)
        await _until(stop, listeners, keep_connection(folder, connection))
    finally:
        remove_connection(folder)
        await asyncio.gather(*(listener.stop() for listener in listeners))
        await cloud.stop()


async def _until(
    stop: asyncio.Event, listeners: Sequence[Listener], keeping: Coroutine[None, None, None]
) -> None:
    """End the process if one of its parts no longer answers; the next command starts another."""
    kept = asyncio.create_task(keeping)
    told = asyncio.create_task(stop.wait())
    ends = [asyncio.create_task(listener.ended()) for listener in listeners]
    try:
        done, _ = await asyncio.wait({told, *ends}, return_when=asyncio.FIRST_COMPLETED)
        for end in done:
            await end
    finally:
        for task in (told, kept, *ends):
            task.cancel()
        await asyncio.wait({told, kept, *ends})


def _secure(
    folder: Path, state: State, cloud: Cloud, connection: Connection
) -> tuple[list[Listener], Connection]:
    """The listeners over HTTPS, and the connection that describes them."""
    from containerapps_emulator.tls import certificates  # cryptography: imported only with --tls

    arm_socket, files_socket = bind(state, "arm-tls"), bind(state, "files-tls")
    found = certificates(folder)
    told = replace(
        connection,
        arm_tls_url=f"https://{HOST}:{port_of(arm_socket)}",
        files_tls_url=f"https://{HOST}:{port_of(files_socket)}",
        ca_file=str(found.authority),
        identity_endpoint=connection.arm_url + TOKEN_PATH,
        identity_header=cloud.identity.header,
    )
    listeners = [
        Listener(cloud.arm_app, arm_socket, found.server),
        Listener(cloud.files_app, files_socket, found.server, http=FILES_PROTOCOL),
    ]
    return listeners, told
