"""Leases on files and shares, through Microsoft's client; durations by a clock that the test moves."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.fileshare import ShareLeaseClient


def refusal(action: Callable[[], object]) -> tuple[int, str]:
    with pytest.raises(HttpResponseError) as refused:
        action()
    error = refused.value.error_code
    return refused.value.status_code, str(getattr(error, "value", error))


@pytest.fixture
def file(share: Any) -> Any:
    file = share.get_file_client("locked.bin")
    file.upload_file(b"abc")
    return file


def test_a_leased_file_is_written_only_with_its_lease(file: Any) -> None:
    lease = file.acquire_lease()
    other = str(uuid.uuid4())
    assert refusal(lambda: file.upload_range(b"x", offset=0, length=1)) == (412, "LeaseIdMissing")
    assert refusal(lambda: file.upload_range(b"x", offset=0, length=1, lease=other)) == (
        412,
        "LeaseIdMismatchWithFileOperation",
    )
    assert refusal(file.delete_file) == (412, "LeaseIdMissing")
    assert refusal(lambda: file.set_file_metadata({"a": "b"})) == (412, "LeaseIdMissing")
    assert refusal(lambda: file.create_file(1)) == (412, "LeaseIdMissing")
    assert refusal(lambda: file.rename_file("elsewhere")) == (412, "LeaseIdMissing")
    file.upload_range(b"x", offset=0, length=1, lease=lease)
    assert file.download_file().readall() == b"xbc"
    properties = file.get_file_properties()
    assert (properties.lease.state, properties.lease.status, properties.lease.duration) == (
        "leased",
        "locked",
        "infinite",
    )


def test_a_lease_excludes_another_until_it_is_released(file: Any) -> None:
    lease = file.acquire_lease()
    assert refusal(file.acquire_lease) == (409, "LeaseAlreadyPresent")
    assert refusal(ShareLeaseClient(file, lease_id=str(uuid.uuid4())).release) == (
        409,
        "LeaseIdMismatchWithLeaseOperation",
    )
    released = lease.id
    lease.release()
    assert refusal(lambda: file.delete_file(lease=released)) == (412, "LeaseNotPresentWithFileOperation")
    assert file.acquire_lease().id != released


def test_acquiring_again_with_the_same_id_succeeds(file: Any) -> None:
    wanted = str(uuid.uuid4())
    assert file.acquire_lease(lease_id=wanted).id == wanted
    assert file.acquire_lease(lease_id=wanted.upper()).id == wanted


def test_a_lease_id_can_be_changed(file: Any) -> None:
    lease, wanted = file.acquire_lease(), str(uuid.uuid4())
    lease.change(wanted)
    assert lease.id == wanted
    file.delete_file(lease=wanted)


def test_a_broken_file_lease_frees_the_file_at_once(file: Any) -> None:
    lease = file.acquire_lease()
    assert ShareLeaseClient(file).break_lease() is None  # only of a share's is there time to wait for
    assert file.get_file_properties().lease.state == "broken"
    assert refusal(lambda: lease.change(str(uuid.uuid4()))) == (409, "LeaseIsBreakingAndCannotBeChanged")
    file.upload_range(b"x", offset=0, length=1)
    file.acquire_lease()


def test_a_replaced_target_needs_its_lease_and_a_moved_source_keeps_its_own(share: Any, file: Any) -> None:
    source = share.get_file_client("new.bin")
    source.upload_file(b"new")
    source_lease, target_lease = source.acquire_lease(), file.acquire_lease()
    move = {"overwrite": True, "source_lease": source_lease}
    assert refusal(lambda: source.rename_file("locked.bin", **move)) == (412, "LeaseIdMissing")
    moved = source.rename_file("locked.bin", destination_lease=target_lease, **move)
    assert refusal(moved.delete_file) == (412, "LeaseIdMissing")
    moved.delete_file(lease=source_lease)


def test_a_lease_survives_a_restart(file: Any, start_server: Callable[[], Any]) -> None:
    lease = file.acquire_lease()
    with start_server().share() as reopened:
        again = reopened.get_file_client("locked.bin")
        assert refusal(again.delete_file) == (412, "LeaseIdMissing")
        again.delete_file(lease=lease.id)


def test_only_guids_are_lease_ids(file: Any) -> None:
    assert refusal(lambda: file.acquire_lease(lease_id="mine")) == (400, "InvalidHeaderValue")


def test_a_share_lease_runs_out_and_can_be_renewed(server: Any, share: Any) -> None:
    lease = share.acquire_lease(lease_duration=30)
    assert refusal(share.delete_share) == (412, "LeaseIdMissing")
    assert refusal(share.acquire_lease) == (409, "LeaseAlreadyPresent")
    server.clock.skew_seconds += 31
    assert share.get_share_properties().lease.state == "expired"
    lease.renew()
    assert share.get_share_properties().lease.state == "leased"
    server.clock.skew_seconds += 31
    assert share.acquire_lease(lease_duration=15).id != lease.id
    assert refusal(lease.renew) == (409, "LeaseIdMismatchWithLeaseOperation")


def test_a_share_lease_breaks_after_its_period(server: Any, share: Any) -> None:
    share.acquire_lease()
    assert ShareLeaseClient(share).break_lease(lease_break_period=20) == 20
    assert share.get_share_properties().lease.state == "breaking"
    assert refusal(share.acquire_lease) == (409, "LeaseIsBreakingAndCannotBeAcquired")
    server.clock.skew_seconds += 21
    assert share.get_share_properties().lease.state == "broken"
    share.acquire_lease()


def test_a_share_lease_lasts_15_to_60_seconds_or_for_ever(share: Any) -> None:
    assert refusal(lambda: share.acquire_lease(lease_duration=14)) == (400, "InvalidHeaderValue")
    assert refusal(lambda: share.acquire_lease(lease_duration=61)) == (400, "InvalidHeaderValue")
    lease = share.acquire_lease(lease_duration=-1)
    share.delete_share(lease=lease)


def test_files_of_a_leased_share_stay_writable(share: Any) -> None:
    share.acquire_lease()
    share.get_file_client("a.bin").upload_file(b"a")
    assert refusal(lambda: share.set_share_metadata({"a": "b"})) == (412, "LeaseIdMissing")


def test_a_snapshot_has_a_lease_of_its_own(server: Any, share: Any) -> None:
    stamp = share.create_snapshot()["snapshot"]
    kept = server.share(snapshot=stamp)
    of_share, of_snapshot = share.acquire_lease(), kept.acquire_lease()
    assert kept.get_share_properties().lease.status == "locked"
    for reader, lease in ((share, of_snapshot), (kept, of_share)):
        for read in (reader.get_share_properties, reader.get_share_stats):
            assert refusal(partial(read, lease=lease)) == (412, "LeaseIdMismatchWithShareOperation")
    assert share.get_share_properties(lease=of_share).name == "models"
    of_share.release()
    for act in (kept.delete_share, lambda: share.delete_share(delete_snapshots="include")):
        assert refusal(act) == (412, "LeaseIdMissing")
    of_snapshot.release()
    kept.delete_share()


def test_leased_snapshots_go_with_their_share_where_that_is_said(server: Any, share: Any) -> None:
    kept = server.share(snapshot=share.create_snapshot()["snapshot"])
    kept.acquire_lease()
    share.delete_share(delete_snapshots="include-leased")
    assert not list(server.service().list_shares(include_snapshots=True))
