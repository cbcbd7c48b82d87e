"""Control planes over a folder of the test's own, stopped when it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.emulator.apps.cloud import Cloud


@pytest.fixture
async def make_cloud(tmp_path: Path) -> AsyncIterator[Callable[..., Cloud]]:
    made: list[Cloud] = []

    def make(**options: Any) -> Cloud:
        made.append(Cloud(tmp_path / "cloud", **options))
        return made[-1]

    yield make
    for cloud in made:
        await cloud.service.stop()
        cloud.state.close()


@pytest.fixture
async def cloud(make_cloud: Callable[..., Cloud]) -> Cloud:
    cloud = make_cloud()
    await cloud.service.start()
    await cloud.provision()
    return cloud
