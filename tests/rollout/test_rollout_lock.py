"""The lock on a share, through a real file service: who gets it, who is told what, who takes it over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from uuid import uuid4

import pytest
from tests.azure.local_cloud import LocalCloud
from tests.rollout.shares import folder_of, make_account, new_share

from remora.azure.profile import Clients
from remora.azure.share.files import Share
from remora.azure.share.lease import LeasedFile
from remora.errors import Locked
from remora.rollout.share.history import HISTORY, happened, read_history, record
from remora.rollout.share.lock import LOCK, Holder, LockTimes, holder_of, locked

GROUP, ACCOUNT = "lock-tests", "locktests"
IMPATIENT = LockTimes(settle_seconds=0.2)
HOLDING = """
import sys
from pathlib import Path
from remora.azure.share.files import Share
from remora.azure.profile import Clients, load_profile
from remora.rollout.share.lock import locked

home, subscription, group, account, name = sys.argv[1:]
clients = Clients(load_profile("local", Path(home)), subscription)
with locked(Share(clients, group, account, name), "remora deploy somewhere"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def clients(cloud: LocalCloud) -> Clients:
    clients = cloud.clients(GROUP)
    make_account(clients, GROUP, ACCOUNT)
    return clients


@pytest.fixture
def share(clients: Clients) -> Share:
    return new_share(clients, GROUP, ACCOUNT)


@pytest.fixture
def other(cloud: LocalCloud, clients: Clients, share: Share) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until its stdin ends."""
    arguments = [str(cloud.home), clients.subscription_id, GROUP, ACCOUNT, share.name]
    with subprocess.Popen(
        [sys.executable, "-c", HOLDING, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def wait_until_held(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"


def forge(share: Share, holder: Holder) -> None:
    """The lock in the hands of somebody who is not here."""
    file = LeasedFile(share, LOCK)
    assert file.acquire(holder.lease_id)
    assert file.write(holder.lease_id, json.dumps(asdict(holder)).encode())


def elsewhere() -> Holder:
    return Holder(
        who="mira",
        host="mill",
        place="another machine",
        pid=1,
        started="1",
        command="remora deploy",
        since="2026-11-22T10:00:00+00:00",
        lease_id=str(uuid4()),
    )


def test_one_holder_at_a_time_and_the_other_is_told_who(share: Share) -> None:
    with locked(share, "remora deploy here"), pytest.raises(Locked) as caught, locked(share, "remora up"):
        pytest.fail("two hold the lock")
    assert f"pid {os.getpid()}" in caught.value.message
    assert "remora deploy here" in caught.value.message
    with locked(share, "remora up") as held:
        held.confirm()


@pytest.mark.parametrize("folder", ["長" * 900, "'\"" * 500, "\\" * 900, "\x1b" * 900, "\udce4" * 900])
def test_any_command_line_fits_into_the_document(share: Share, folder: str) -> None:
    with locked(share, f"remora deploy {folder}") as held:
        held.confirm()
        holder = holder_of(share)
    assert holder is not None
    assert holder.command.startswith("remora deploy")
    assert len(holder.command.encode()) <= 240


@pytest.mark.parametrize("end", [KeyboardInterrupt, ValueError, Locked("no")])
def test_whatever_ends_the_work_gives_the_lock_back(share: Share, end: type[BaseException]) -> None:
    with pytest.raises(BaseException), locked(share, "remora deploy"):  # noqa: B017, PT011 - any
        raise end
    with locked(share, "remora deploy"):
        pass


def test_a_killed_holder_is_recognised_at_once_where_its_process_can_be_seen(
    share: Share, other: subprocess.Popen[str]
) -> None:
    wait_until_held(other)
    with pytest.raises(Locked, match="remora deploy somewhere"), locked(share, "remora up"):
        pytest.fail("two hold the lock")
    other.send_signal(signal.SIGKILL)
    other.wait()
    with locked(share, "remora up"):
        holder = holder_of(share)
    assert holder is not None
    assert holder.pid == os.getpid()


def test_ctrl_c_gives_the_lock_back(share: Share, other: subprocess.Popen[str]) -> None:
    wait_until_held(other)
    other.send_signal(signal.SIGINT)
    other.wait()
    assert LeasedFile(share, LOCK).acquire(str(uuid4()))


def test_a_holder_elsewhere_is_dead_only_after_a_long_silence(share: Share) -> None:
    forge(share, elsewhere())
    with pytest.raises(Locked, match="mira on mill"), locked(share, "remora up"):
        pytest.fail("taken from a holder that may live")
    with locked(share, "remora up", LockTimes(stale_seconds=-1)):
        pass


def test_the_heartbeat_keeps_a_lock_alive(share: Share, cloud: LocalCloud) -> None:
    content = folder_of(cloud, share) / LOCK
    with locked(share, "remora up", LockTimes(heartbeat_seconds=0.05)):
        first = content.stat().st_mtime_ns
        deadline = time.monotonic() + 30
        while content.stat().st_mtime_ns == first:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_one_that_was_taken_for_dead_notices_before_its_next_step(share: Share) -> None:
    with locked(share, "remora deploy") as asleep:
        asleep.confirm()
        former = holder_of(share)
        assert former is not None
        assert LeasedFile(share, LOCK).take_over(str(uuid4()), former.lease_id)
        with pytest.raises(Locked, match="gave no sign of life for too long"):
            asleep.confirm()


def test_of_many_that_find_it_dead_one_gets_it(share: Share) -> None:
    with locked(share, "remora deploy"):
        ours = holder_of(share)
    assert ours is not None
    forge(share, replace(ours, started="before", lease_id=str(uuid4())))

    def attempt(_: int) -> bool:
        try:
            with locked(share, "remora deploy", IMPATIENT):
                time.sleep(1.0)  # longer than anybody here waits
        except Locked:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(attempt, range(6))).count(True) == 1


@pytest.mark.parametrize("left", [b"", b'{"who": "mi', b"[]"])
def test_a_holder_that_died_before_it_said_who_it_is(share: Share, left: bytes) -> None:
    file, lease = LeasedFile(share, LOCK), str(uuid4())
    assert file.acquire(lease)
    assert file.write(lease, left)
    with locked(share, "remora up", IMPATIENT):
        pass


def test_a_lease_of_another_than_the_document_says_is_broken_only_if_nothing_moves(share: Share) -> None:
    forge(share, replace(elsewhere(), lease_id=str(uuid4())))
    former = holder_of(share)
    assert former is not None
    LeasedFile(share, LOCK).take_over(str(uuid4()), former.lease_id)  # and it died before it wrote
    with pytest.raises(Locked), locked(share, "remora up", IMPATIENT):
        pytest.fail("its heartbeat is fresh")
    with locked(share, "remora up", replace(IMPATIENT, stale_seconds=-1)):
        pass


def test_history_keeps_every_event_and_lists_the_newest_first(share: Share, cloud: LocalCloud) -> None:
    assert read_history(share, most=5) == []
    events = [replace(happened("deploy", "app"), at=f"2026-11-2{n}T10:00:00.000+00:00") for n in (1, 3, 2)]
    for event in events:
        record(share, event)
    folder = folder_of(cloud, share) / HISTORY
    (folder / "3000-note.json").write_text("no event")
    newest_first = [events[1], events[2], events[0]]
    assert read_history(share, most=10) == newest_first
    assert read_history(share, most=2) == newest_first[:1]  # the note was looked at, too
    assert set(json.loads(next(folder.glob("2*.json")).read_text())) >= {"at", "who", "from", "to", "result"}
