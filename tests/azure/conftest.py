"""A local cloud as a process of its own, and our clients of it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from remora.azure.profile import Clients, load_profile
from remora.azure.provision import create_group, list_subscriptions

START_SECONDS = 60
GROUP = "Client-Tests"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The Remora home of a running local cloud."""
    folder = tmp_path_factory.mktemp("home")
    process = subprocess.Popen([sys.executable, "-m", "remora.localcloud", "--home", str(folder)])
    deadline = time.monotonic() + START_SECONDS
    while not (folder / "cloud" / "connection.json").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield folder
    process.terminate()
    assert process.wait(timeout=START_SECONDS) == 0


@pytest.fixture(scope="module")
def clients(home: Path) -> Clients:
    """Our clients for its one subscription, with a resource group called GROUP."""
    clients = Clients(load_profile("local", home))
    (subscription_id, _), *others = list_subscriptions(clients)
    assert not others
    assert subscription_id == json.loads((home / "cloud" / "connection.json").read_text())["subscription_id"]
    clients = clients.for_subscription(subscription_id)
    create_group(clients, GROUP, "westeurope")
    return clients
