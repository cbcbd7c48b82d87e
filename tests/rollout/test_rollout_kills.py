"""Pushes killed at random moments: the aliases stay whole, point at whole folders, and `gc` finds the rest.

REMORA_TEST_KILLS=200 makes it long; REMORA_TEST_SEED repeats a run.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from tests.api.shared_folder import make_lora
from tests.azure.local_cloud import LocalCloud, printer_app
from tests.rollout.test_rollout_sync import TEMPLATE

from remora.adapters.aliases import AliasSet, read_aliases
from remora.adapters.digest import adapter_digest
from remora.adapters.store import ADAPTERS, adapter_folder
from remora.azure.profile import Clients
from remora.azure.provisioning.provision import prepare, provision
from remora.azure.share.files import Share
from remora.rollout.share.adapter_versions import AdapterVersions
from remora.rollout.share.garbage import collect_garbage

GROUP, ACCOUNT, NAME = "sync-tests", "synctests", "files"
KILLS = int(os.environ.get("REMORA_TEST_KILLS", "10"))
SEED = int(os.environ.get("REMORA_TEST_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)
NAMES = ("tone", "pirate", "mood")

logger = logging.getLogger(__name__)

pytestmark = pytest.mark.timeout(60 + 10 * KILLS)


class Pusher:
    """A process whose children push; `push` gives one some time and kills it, if it is not through."""

    def __init__(self, home: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.rollout.pusher"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        self._write(f"{home} {GROUP} {ACCOUNT} {NAME}")

    def push(self, name: str, folder: Path, kill_after_seconds: float | None = None) -> int:
        """The child's status: 0, or the signal that ended it."""
        self._write(f"{name} {folder}")
        child = self._read()
        if kill_after_seconds is not None:
            time.sleep(kill_after_seconds)  # the moment of the kill is what is being tested
            os.kill(child, signal.SIGKILL)
        self._write("")
        return self._read()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def _read(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


@pytest.fixture(scope="module")
def clients(cloud: LocalCloud) -> Clients:
    """Our clients, with a storage account and a share."""
    clients = cloud.clients(GROUP)
    provision(clients, GROUP, prepare(clients, GROUP, TEMPLATE, {}), lambda _: None)
    return clients


def test_kills_leave_whole_aliases_and_nothing_that_gc_cannot_find(
    cloud: LocalCloud, clients: Clients, tmp_path: Path
) -> None:
    logger.info("seed %d, %d kills", SEED, KILLS)
    chance = random.Random(SEED)  # noqa: S311 - it chooses moments, not secrets
    mount = cloud.home / "cloud" / "shares" / ACCOUNT / NAME
    folders = [tmp_path / f"adapter{number}" for number in range(8)]
    for number, folder in enumerate(folders, start=1):
        make_lora(folder, number / 8)
        (folder / "adapter_model.safetensors").touch()
    share, pusher = Share(clients, GROUP, ACCOUNT, NAME), Pusher(cloud.home)
    killed = 0
    try:
        started = time.monotonic()
        assert pusher.push("tone", folders[0]) == 0
        whole_seconds = time.monotonic() - started
        for _ in range(KILLS):
            status = pusher.push(
                chance.choice(NAMES), chance.choice(folders), chance.uniform(0, whole_seconds)
            )
            killed += status == signal.SIGKILL
            check_aliases(mount)
        assert pusher.push("tone", folders[1]) == 0, f"seed {SEED}"
    finally:
        pusher.close()
    assert killed, "no push was ever caught in the middle"
    assert read_aliases(mount).digests["tone"] == adapter_digest(folders[1])
    collect_garbage(share, printer_app(clients, GROUP, "printer"), grace=timedelta(0))
    assert left_over(mount, read_aliases(mount)) == []
    assert not any(each.state == "unused" for each in AdapterVersions(share).versions())


def check_aliases(mount: Path) -> None:
    """Whatever is pointed to is whole: its content has the digest that the folder is named by."""
    for name, digest in read_aliases(mount).referenced:
        found = adapter_digest(mount / adapter_folder(name, digest))
        assert found == digest, f"seed {SEED}: {name} points to a folder that holds {found}"


def left_over(mount: Path, aliases: AliasSet) -> list[str]:
    """What lies on the share and is neither served, nor gone back to, nor the share's own books."""
    kept = {str(adapter_folder(name, digest)) for name, digest in aliases.referenced}
    digests = [str(folder.relative_to(mount)) for folder in mount.joinpath(ADAPTERS).glob("*/*")]
    root = mount / ".remora"
    temporary = [str(path) for path in (*root.glob(".*"), *root.joinpath("history").glob(".*"))]
    return sorted({*digests} - kept) + temporary
