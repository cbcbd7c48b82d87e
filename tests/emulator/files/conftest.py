"""The Files service on a loopback port, as a real server, and Microsoft's clients pointed at it."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from azure.storage.fileshare import ShareClient, ShareServiceClient

from containerapps_emulator.state import State
from containerapps_emulator.storage.app import PROTOCOL, create_files_app

ACCOUNT = "aistorageabc123"
OTHER_ACCOUNT = "otheraccount"
PREMIUM_ACCOUNT = "premiumaccount"
USER = "7d1f3a8e-0f0d-4d57-9d0b-5a4c1c3a2b10"
TENANT = "2c5ee4ad-4c1c-4b8f-8a1d-0f1f0c1d2e3f"
ACCOUNTS = (ACCOUNT, OTHER_ACCOUNT, PREMIUM_ACCOUNT)
KEYS = [base64.b64encode(bytes([n] * 64)).decode() for n in (1, 2)]


@dataclass
class Clock:
    """Seconds that a test moves by hand, beside those that pass."""

    skew_seconds: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.skew_seconds


@dataclass(frozen=True)
class FilesServer:
    """`root` is where the shares of the account lie, as containers see them."""

    url: str
    root: Path
    clock: Clock
    account: str = ACCOUNT
    key: str = KEYS[0]

    def service(self, key: str | None = None) -> Any:
        return ShareServiceClient(f"{self.url}/{self.account}", credential=key or self.key, **_EAGER)

    def share(self, name: str = "models", **options: Any) -> Any:
        return ShareClient(f"{self.url}/{self.account}", name, credential=self.key, **{**_EAGER, **options})


_EAGER: dict[str, Any] = {"retry_total": 0}


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[[], FilesServer]]:
    """Starts a server on the same state and shares each time it is called."""
    running: list[tuple[uvicorn.Server, threading.Thread, State]] = []
    clock = Clock()

    def stop() -> None:
        server, thread, state = running.pop()
        server.should_exit = True
        thread.join(10)
        state.close()

    def start() -> FilesServer:
        if running:
            stop()
        state = State(tmp_path / "state.sqlite3")
        app = create_files_app(
            shares_root=tmp_path / "shares",
            account_keys=lambda account: KEYS if account in ACCOUNTS else [],
            state=state,
            now=clock,
            claims=lambda token: {"aud": token, "oid": USER, "tid": TENANT},  # a token is what it is for
            tenant_id=TENANT,
            is_premium=lambda account: account == PREMIUM_ACCOUNT,
        )
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                host="127.0.0.1",
                port=0,
                log_level="warning",
                lifespan="off",
                http=PROTOCOL,
                loop="asyncio",
            )
        )
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        running.append((server, thread, state))
        deadline = time.monotonic() + 10
        while not server.started and time.monotonic() < deadline:
            thread.join(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        return FilesServer(f"http://127.0.0.1:{port}", tmp_path / "shares" / ACCOUNT, clock)

    yield start
    if running:
        stop()


@pytest.fixture
def server(start_server: Callable[[], FilesServer]) -> FilesServer:
    return start_server()


@pytest.fixture
def share(server: FilesServer) -> Iterator[Any]:
    """A client of a fresh share."""
    with server.share() as client:
        client.create_share()
        yield client


@pytest.fixture
def share_path(server: FilesServer) -> Path:
    """The share's directory, as a container sees it."""
    return server.root / "models"
