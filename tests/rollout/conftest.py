"""A local cloud for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.azure.local_cloud import LocalCloud


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """A running local cloud."""
    cloud = LocalCloud(tmp_path_factory.mktemp("home"))
    cloud.start()
    yield cloud
    cloud.stop()
