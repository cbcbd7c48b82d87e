"""Snapshots of shares, and deleted shares that come back: content, properties and metadata with them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.fileshare import ContentSettings, ShareClient, ShareServiceClient, generate_file_sas

DAY = 24 * 60 * 60


def shares(server: Any, **include: bool) -> list[tuple[str, str | None, bool | None]]:
    return [(item.name, item.snapshot, item.deleted) for item in server.service().list_shares(**include)]


def snapshot_of(server: Any, stamp: str) -> Any:
    return ShareClient(f"{server.url}/{server.account}", "models", snapshot=stamp, credential=server.key)


def test_a_snapshot_keeps_what_was_there(server: Any, share: Any) -> None:
    file = share.create_directory("d").upload_file("a", b"old" + bytes(9000), metadata={"of": "a"})
    (server.root / "models" / "made-by-a-container").write_bytes(b"x")
    (server.root / "models" / "link").symlink_to("/etc/hostname")
    first = share.create_snapshot(metadata={"which": "first"})["snapshot"]
    second = share.create_snapshot()["snapshot"]
    file.upload_file(b"new")
    share.get_file_client("made-by-a-container").delete_file()
    kept = snapshot_of(server, first)
    assert kept.get_share_properties().metadata == {"which": "first"}
    assert {item["name"] for item in kept.list_directories_and_files()} == {"d", "made-by-a-container"}
    old = kept.get_file_client("d/a")
    assert old.download_file().readall() == b"old" + bytes(9000)
    assert old.get_file_properties().metadata == {"of": "a"}
    assert file.download_file().readall() == b"new"
    copied = share.get_file_client("copied")
    copied.start_copy_from_url(f"{server.url}/{server.account}/models/d/a?sharesnapshot={first}")
    assert copied.get_file_properties().size == 9003
    assert shares(server, include_snapshots=True) == [
        ("models", first, None),
        ("models", second, None),
        ("models", None, None),
    ]
    with pytest.raises(HttpResponseError, match="ShareHasSnapshots"):
        share.delete_share()
    kept.delete_share()
    with pytest.raises(HttpResponseError, match="ShareSnapshotNotFound"):
        kept.get_share_properties()
    share.delete_share(delete_snapshots=True)
    assert shares(server) == []


def test_a_deleted_share_comes_back_with_its_snapshots(server: Any, share: Any) -> None:
    share.get_file_client("a").upload_file(b"kept", metadata={"of": "a"})
    stamp = share.create_snapshot()["snapshot"]
    share.delete_share(delete_snapshots=True)
    share.create_share()
    assert not list(share.list_directories_and_files())
    (gone,) = [item for item in server.service().list_shares(include_deleted=True) if item.deleted]
    assert gone.remaining_retention_days == 7
    with pytest.raises(HttpResponseError, match="ShareAlreadyExists"):
        server.service().undelete_share("models", gone.version)
    share.delete_share()
    server.service().undelete_share("models", gone.version)
    file = share.get_file_client("a")
    assert file.download_file().readall() == b"kept"
    assert file.get_file_properties().metadata == {"of": "a"}
    assert snapshot_of(server, stamp).get_file_client("a").download_file().readall() == b"kept"


def test_a_deleted_share_is_gone_after_its_days(start_server: Callable[[], Any], tmp_path: Path) -> None:
    server = start_server()
    share = server.share()
    share.create_share()
    share.get_file_client("a").upload_file(b"abc")
    share.delete_share()
    server.clock.skew_seconds = 7 * DAY + 60
    server = start_server()
    assert not [path for path in server.root.rglob("*") if path.is_file()]


def test_what_nothing_knows_any_more_is_removed_at_the_start(start_server: Callable[[], Any]) -> None:
    server = start_server()
    server.share().create_share()
    stamp = server.share().create_snapshot()["snapshot"]
    for stray in (".kept/gone_01D", ".snapshots/models/.2020-01-01T00:00:00.0000000Z"):
        (server.root / stray).mkdir(parents=True)
    server = start_server()
    assert shares(server, include_snapshots=True) == [("models", stamp, None), ("models", None, None)]
    assert [path.name for path in (server.root / ".snapshots/models").iterdir()] == [stamp]
    assert not list((server.root / ".kept").iterdir())


def test_a_file_of_another_account_is_copied_with_its_token(server: Any, share: Any) -> None:
    other = ShareServiceClient(f"{server.url}/otheraccount", credential=server.key, retry_total=0)
    source = other.create_share("theirs").get_file_client("a")
    source.upload_file(b"theirs")
    target = share.get_file_client("mine")
    with pytest.raises(HttpResponseError, match="CannotVerifyCopySource"):
        target.start_copy_from_url(source.url)
    token = generate_file_sas(
        "otheraccount", "theirs", ["a"], server.key, permission="r", expiry="2100-01-01T00:00:00Z"
    )
    target.start_copy_from_url(f"{source.url}?{token}")
    assert target.download_file().readall() == b"theirs"


def test_ranges_are_told_in_pages(share: Any) -> None:
    file = share.get_file_client("sparse")
    file.create_file(10_000)
    file.upload_range(b"x" * 512, offset=512, length=512)
    file.upload_range(b"x" * 100, offset=9000, length=100)
    assert [(part["start"], part["end"]) for part in file.list_ranges()] == [(512, 1023), (8704, 9215)]
    file.clear_range(offset=512, length=512)
    assert [(part["start"], part["end"]) for part in file.list_ranges()] == [(8704, 9215)]


def test_the_list_of_shares_tells_tier_and_lease(server: Any, share: Any) -> None:
    share.set_share_properties(access_tier="Hot")
    share.acquire_lease(lease_duration=15)
    (listed,) = server.service().list_shares()
    assert (listed.access_tier, listed.lease.status, listed.lease.duration) == ("Hot", "locked", "fixed")


def test_names_of_metadata_keep_their_letter_case(server: Any, share: Any) -> None:
    file = share.get_file_client("a")
    file.upload_file(b"abc", metadata={"UP": "1", "down": "2", "_Mixed1": "3"})
    shown: list[str] = []
    file.get_file_properties(raw_response_hook=lambda it: shown.extend(it.http_response.headers))
    assert {name for name in shown if name.lower().startswith("x-ms-meta-")} == {
        "x-ms-meta-UP",
        "x-ms-meta-down",
        "x-ms-meta-_Mixed1",
    }
    share.set_share_metadata({"Of": "x"})
    (listed,) = server.service().list_shares(include_metadata=True)
    assert listed.metadata == {"Of": "x"}


def test_a_change_time_that_is_set_is_shown_until_the_next_change(share: Any) -> None:
    given = datetime(2020, 2, 3, 4, 5, 6, tzinfo=UTC)
    file = share.get_file_client("a")
    file.create_file(10, file_change_time=given)
    assert file.get_file_properties().change_time == given
    (listed,) = share.list_directories_and_files(include=["timestamps"])
    assert listed["change_time"] == "2020-02-03T04:05:06.0000000Z"
    file.set_file_metadata({"a": "b"})
    assert file.get_file_properties().change_time > given
    file.set_http_headers(ContentSettings(), file_change_time=given)
    assert file.get_file_properties().change_time == given
    renamed = file.rename_file("b", file_change_time=given)
    assert renamed.get_file_properties().change_time == given


def test_extended_information_tells_the_ids_of_files(share: Any) -> None:
    file = share.get_file_client("a")
    file.upload_file(b"abc")
    (listed,) = share.list_directories_and_files(include_extended_info=True)
    assert listed["file_id"] == file.get_file_properties().file_id
