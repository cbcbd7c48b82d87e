"""A local cloud as a process of its own, and our clients of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.azure.local_cloud import LocalCloud

from remora.azure.profile import Clients

GROUP = "Client-Tests"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """A running local cloud."""
    cloud = LocalCloud(tmp_path_factory.mktemp("home"))
    cloud.start()
    yield cloud
    cloud.stop()


@pytest.fixture(scope="module")
def home(cloud: LocalCloud) -> Path:
    """The Remora home of the running local cloud."""
    return cloud.home


@pytest.fixture(scope="module")
def clients(cloud: LocalCloud) -> Clients:
    """Our clients for its one subscription, with a resource group called GROUP."""
    return cloud.clients(GROUP)
