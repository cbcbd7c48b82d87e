"""`remora cloud` when things go wrong: it dies, its disk is full or read-only, its state is damaged."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from tests.cli.command import User
from tests.cli.systemctl import with_systemctl

from remora.azure.profile import local_connection
from remora.cli.local.emulator import FORMER_MODULE, MODULE

WAIT_SECONDS = 300
API = {"api-version": "2023-01-01"}


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    user = User(tmp_path / "home", {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")})
    yield user
    user.run("cloud", "stop")


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)


def test_without_a_supervisor_it_says_that_nothing_watches(user: User) -> None:
    started = user.run("cloud", "start")
    assert (started.code, started.document["supervised"]) == (0, False)
    told = user.start("cloud", "status", "--output", "human").communicate(timeout=WAIT_SECONDS)[0]
    assert "if it dies, the next command restarts it" in told
    assert "remora cloud install" in told


def test_a_supervisor_starts_it_again_when_it_dies(user: User, tmp_path: Path) -> None:
    watched = with_systemctl(user, tmp_path)
    watched.run("cloud", "start")  # one that nobody watches makes room
    installed = watched.run("cloud", "install")
    assert (installed.code, installed.document["supervised"]) == (0, True), installed.document
    killed = installed.document["pid"]
    os.kill(killed, signal.SIGKILL)
    until(lambda: watched.run("cloud", "status").document.get("pid", killed) != killed)
    assert watched.run("cloud", "status").document["supervised"] is True
    assert watched.run("cloud", "stop").code == 0
    assert watched.run("cloud", "status").document["running"] is False
    file = tmp_path / "config/systemd/user/remora-cloud.service"
    former = file.read_text().replace(MODULE, FORMER_MODULE)
    file.write_text(former)  # as a version wrote it whose local cloud was a part of Remora
    assert watched.run("cloud", "start").document["supervised"] is True
    assert file.read_text() == former.replace(FORMER_MODULE, MODULE)
    assert watched.run("cloud", "uninstall").code == 0
    until(lambda: local_connection(user.home) is None)
    assert not file.exists()


def test_where_no_supervisor_is_at_hand_it_says_what_to_do(user: User, tmp_path: Path) -> None:
    empty = User(user.home, {**user.settings, "PATH": str(tmp_path / "nothing")})
    refused = empty.run("cloud", "install")
    assert (refused.code, refused.document["error"]["code"]) == (5, "refused")
    assert "systemctl --user daemon-reload" in refused.message
    assert not (tmp_path / "config/systemd/user/remora-cloud.service").exists()


def test_a_damaged_state_has_a_way_out_that_keeps_the_shares(user: User) -> None:
    user.run("cloud", "start")
    put_share(user)
    file = user.home / "cloud" / "shares" / "keptfiles" / "models" / "adapter.bin"
    file.write_bytes(b"weights")
    user.run("cloud", "stop")
    damage(user.home / "cloud" / "state.sqlite3")
    failed = user.run("cloud", "start")
    assert (failed.code, failed.document["error"]["code"]) == (1, "damaged_state")
    assert "state.sqlite3" in failed.message
    assert "remora cloud reset --keep-shares" in failed.message
    reset = user.run("cloud", "reset", "--keep-shares", "--yes")
    assert reset.code == 0
    assert (Path(reset.document["aside"]) / "state.sqlite3").exists()
    assert user.run("cloud", "start").code == 0
    put_share(user)
    assert file.read_bytes() == b"weights"


def test_a_reset_without_shares_leaves_nothing(user: User) -> None:
    user.run("cloud", "start")
    put_share(user)
    assert user.run("cloud", "reset", "--yes").code == 0
    assert {path.name.partition("-")[0] for path in (user.home / "cloud").iterdir()} == {"aside", "lock"}
    assert user.run("cloud", "status").document["running"] is False


def damage(state: Path) -> None:
    """As a disk does that lost some blocks: the beginning is whole."""
    data = bytearray(state.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    state.write_bytes(data)


def put_share(user: User) -> None:
    connection = local_connection(user.home)
    assert connection is not None
    group = f"{connection['arm_url']}/subscriptions/{connection['subscription_id']}/resourceGroups/work"
    account = f"{group}/providers/Microsoft.Storage/storageAccounts/keptfiles"
    sku = {"location": "westus3", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}
    share = f"{account}/fileServices/default/shares/models"
    for url, body in ((group, {"location": "westus3"}), (account, sku), (share, {"properties": {}})):
        answer = httpx.put(url, params=API, json=body, headers=bearer(connection))
        assert answer.is_success, answer.text
    folder = user.home / "cloud" / "shares" / "keptfiles" / "models"
    until(folder.is_dir)


def bearer(connection: dict[str, str]) -> dict[str, str]:
    return {"authorization": f"Bearer {connection['token']}"}


@pytest.fixture
def small_disk(user: User) -> Iterator[Path]:
    """A disk of two megabytes under the user's Remora home."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk")
    user.home.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(user.home)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    yield user.home
    user.run("cloud", "stop")
    subprocess.run(["umount", "-l", str(user.home)], check=True)


def fill(disk: Path) -> Path:
    """Take what is left of it."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return filler


def test_a_full_disk_has_a_code_of_its_own(user: User, small_disk: Path) -> None:
    filler = fill(small_disk)
    failed = user.run("cloud", "start")
    assert failed.document["error"]["code"] == "disk_full", failed.document
    assert str(small_disk) in failed.message
    filler.unlink()
    assert user.run("cloud", "start").code == 0
    connection = local_connection(small_disk)
    assert connection is not None
    filler = fill(small_disk)
    group = f"{connection['arm_url']}/subscriptions/{connection['subscription_id']}/resourceGroups/full"
    body = {"location": "westus3", "tags": {"long": "x" * 200}}
    for at in range(50):  # the journal has some room of its own left
        refused = httpx.put(f"{group}{at}", params=API, json=body, headers=bearer(connection))
    assert (refused.status_code, refused.json()["error"]["code"]) == (507, "DiskFull")
    filler.unlink()
    answer = httpx.put(f"{group}-no-more", params=API, json=body, headers=bearer(connection))
    assert answer.is_success, answer.text


def test_a_read_only_disk_is_named(user: User, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    failed = user.run("cloud", "start")
    assert failed.document["error"]["code"] == "cannot_write", failed.document
    assert "read-only" in failed.message.lower()
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert user.run("cloud", "start").code == 0
