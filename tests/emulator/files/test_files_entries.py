"""Shares, directories, listings, renames, properties and refusals, through Microsoft's client."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.storage.fileshare import ContentSettings, NTFSAttributes
from tests.emulator.files.test_files_auth import send

INCLUDE = ["timestamps", "Etag", "Attributes", "PermissionKey"]


def code(refused: pytest.ExceptionInfo[Any]) -> tuple[int, str]:
    error = refused.value.error_code
    return refused.value.status_code, str(getattr(error, "value", error))


def names(listed: Any) -> list[str]:
    return [item["name"] for item in listed]


def test_a_share_is_created_once_and_listed(server: Any, share: Any) -> None:
    with pytest.raises(ResourceExistsError) as refused:
        share.create_share()
    assert code(refused) == (409, "ShareAlreadyExists")
    with server.service() as service:
        service.create_share("another-share", metadata={"for": "tests"}, quota=3)
        listed = list(service.list_shares(include_metadata=True))
        assert [(item.name, item.metadata, item.quota) for item in listed] == [
            ("another-share", {"for": "tests"}, 3),
            ("models", None, 102400),
        ]
        paged = list(service.list_shares(results_per_page=1).by_page())
        assert [[item.name for item in page] for page in paged] == [["another-share"], ["models"]]


def test_a_deleted_share_is_gone_with_its_content(share: Any, share_path: Path) -> None:
    share.get_file_client("a.bin").upload_file(b"a")
    share.delete_share()
    assert not share_path.exists()
    with pytest.raises(ResourceNotFoundError) as refused:
        share.get_file_client("a.bin").upload_file(b"a")
    assert code(refused) == (404, "ShareNotFound")


def test_share_properties_are_kept_across_a_restart(share: Any, start_server: Callable[[], Any]) -> None:
    share.set_share_metadata({"a": "b"})
    share.set_share_quota(7)
    with start_server().share() as reopened:
        properties = reopened.get_share_properties()
        assert (properties.metadata, properties.quota) == ({"a": "b"}, 7)


def test_a_share_that_the_management_plane_made_is_a_share(server: Any) -> None:
    (server.root / "by-template").mkdir(parents=True)
    with server.share("by-template") as share:
        assert share.get_share_properties().quota == 102400
        assert share.get_share_properties().etag == share.get_share_properties().etag


def test_file_properties_are_kept_across_a_restart(share: Any, start_server: Callable[[], Any]) -> None:
    settings = ContentSettings(content_type="text/plain", cache_control="no-store")
    file = share.get_file_client("a.txt")
    file.upload_file(b"a", content_settings=settings, metadata={"origin": "here"})
    created = file.get_file_properties().creation_time
    with start_server().share() as reopened:
        properties = reopened.get_file_client("a.txt").get_file_properties()
    assert properties.content_settings.content_type == "text/plain"
    assert properties.content_settings.cache_control == "no-store"
    assert properties.metadata == {"origin": "here"}
    assert properties.creation_time == created


def test_a_last_write_time_is_set_and_read_back(share: Any, share_path: Path) -> None:
    written = datetime(2024, 6, 20, 4, 28, 53, 505357, tzinfo=UTC)
    file = share.get_file_client("a.txt")
    file.create_file(1, file_last_write_time=written)
    assert (share_path / "a.txt").stat().st_mtime == pytest.approx(written.timestamp(), abs=1e-6)
    file.upload_range(b"x", offset=0, length=1, file_last_write_mode="preserve")
    stored = file.get_file_properties().last_write_time
    assert abs(stored.replace(tzinfo=UTC) - written) < timedelta(microseconds=2)


def test_setting_content_headers_replaces_them_together(share: Any) -> None:
    file = share.get_file_client("a.txt")
    file.upload_file(b"a", content_settings=ContentSettings(content_type="text/plain", content_language="en"))
    file.set_http_headers(ContentSettings(content_type="text/html"))
    settings = file.get_file_properties().content_settings
    assert (settings.content_type, settings.content_language) == ("text/html", None)


def test_a_read_only_file_refuses_writes_until_the_attribute_goes(share: Any) -> None:
    file = share.get_file_client("a.txt")
    file.create_file(1, file_attributes=NTFSAttributes(read_only=True))
    for refused_write in (file.delete_file, lambda: file.upload_range(b"x", offset=0, length=1)):
        with pytest.raises(HttpResponseError) as refused:
            refused_write()
        assert code(refused) == (409, "ReadOnlyAttribute")
    file.set_http_headers(ContentSettings(), file_attributes="none")
    file.delete_file()


def test_directories_come_and_go(share: Any, share_path: Path) -> None:
    directory = share.create_directory("a")
    with pytest.raises(ResourceExistsError) as again:
        directory.create_directory()
    directory.create_subdirectory("b", metadata={"k": "v"})
    with pytest.raises(HttpResponseError) as not_empty:
        directory.delete_directory()
    assert code(again) == (409, "ResourceAlreadyExists")
    assert code(not_empty) == (409, "DirectoryNotEmpty")
    assert directory.get_subdirectory_client("b").get_directory_properties().metadata == {"k": "v"}
    directory.delete_subdirectory("b")
    directory.delete_directory()
    assert list(share_path.iterdir()) == []
    assert directory.exists() is False


def test_a_directory_has_the_times_and_attributes_that_are_set(share: Any) -> None:
    moment = datetime(2022, 3, 10, 10, 14, 30, 500_000, tzinfo=UTC)
    wanted = {f"file_{name}_time": moment for name in ("creation", "last_write", "change")}
    attributes = NTFSAttributes(read_only=True, directory=True)

    def check(directory: Any) -> None:
        shown = directory.get_directory_properties()
        assert [shown.creation_time, shown.last_write_time, shown.change_time] == [moment] * 3
        assert shown.file_attributes == "ReadOnly | Directory"

    directory = share.create_directory("d", file_attributes=attributes, **wanted)
    check(directory)
    plain = share.create_directory("e")
    assert plain.get_directory_properties().file_attributes == "Directory"
    check(plain.rename_directory("f", file_attributes=attributes, **wanted))


def test_a_file_is_no_directory_and_the_other_way_round(share: Any) -> None:
    share.create_directory("d")
    share.get_file_client("f").create_file(0)
    with pytest.raises(ResourceNotFoundError):
        share.get_directory_client("f").get_directory_properties()
    with pytest.raises(ResourceNotFoundError):
        share.get_file_client("d").get_file_properties()
    with pytest.raises(HttpResponseError) as refused:
        share.get_file_client("d").create_file(1)
    assert code(refused) == (409, "ResourceTypeMismatch")
    with pytest.raises(ResourceNotFoundError) as below_a_file:
        share.get_file_client("f/x").create_file(1)
    assert code(below_a_file) == (404, "ParentNotFound")


def test_a_listing_pages_in_name_order_and_filters_by_prefix(share: Any) -> None:
    directory = share.create_directory("d")
    for number in range(5):
        directory.get_file_client(f"Part-{number}.bin").create_file(number)
    directory.create_subdirectory("other")
    pages = [names(page) for page in directory.list_directories_and_files(results_per_page=2).by_page()]
    assert pages == [["other", "Part-0.bin"], ["Part-1.bin", "Part-2.bin"], ["Part-3.bin", "Part-4.bin"]]
    assert names(directory.list_directories_and_files(name_starts_with="part-3")) == ["Part-3.bin"]


def test_a_listing_tells_what_a_head_tells(share: Any) -> None:
    file = share.get_file_client("a.bin")
    file.upload_file(b"abc")
    (item,) = share.list_directories_and_files(include=INCLUDE, include_extended_info=True)
    properties = file.get_file_properties()
    assert (item.name, item.size, item.is_directory) == ("a.bin", 3, False)
    assert (item.etag, item.last_modified) == (properties.etag, properties.last_modified)
    for name in ("last_write_time", "change_time", "creation_time"):
        assert item[name][:26] == f"{properties[name]:%Y-%m-%dT%H:%M:%S.%f}"
    for name in ("file_id", "file_attributes", "permission_key"):
        assert item[name] == properties[name]


def test_a_listing_shows_what_containers_made_but_no_links(
    share: Any, share_path: Path, tmp_path: Path
) -> None:
    (share_path / "by container.txt").write_text("x")
    (share_path / "link out").symlink_to(tmp_path)
    (share_path / "link in").symlink_to("by container.txt")
    assert names(share.list_directories_and_files()) == ["by container.txt"]
    assert share.get_file_client("link in").exists() is False
    assert share.get_file_client("link out/state.sqlite3").exists() is False
    with pytest.raises(HttpResponseError):
        share.get_file_client("link out/planted").create_file(1)
    assert not (tmp_path / "planted").exists()


@pytest.mark.parametrize(
    "name", ["with space.bin", "a+b.bin", "é.bin", "100%.bin", "x%20y.bin", "名.bin", "~'!#&=,;@.bin"]
)
def test_any_name_survives_upload_listing_rename_and_download(share: Any, name: str) -> None:
    share.create_directory("dir é +%")
    source = share.get_file_client(f"dir é +%/{name}")
    source.upload_file(b"content")
    assert names(share.get_directory_client("dir é +%").list_directories_and_files()) == [name]
    target = source.rename_file(f"dir é +%/new {name}")
    assert target.download_file().readall() == b"content"
    assert source.exists() is False


def test_a_rename_carries_properties_and_replaces_only_on_demand(share: Any) -> None:
    share.get_file_client("tmp").upload_file(b"new", metadata={"v": "2"})
    share.get_file_client("live").upload_file(b"old", metadata={"v": "1"})
    with pytest.raises(ResourceExistsError) as refused:
        share.get_file_client("tmp").rename_file("live")
    assert code(refused) == (409, "ResourceAlreadyExists")
    live = share.get_file_client("tmp").rename_file("live", overwrite=True)
    assert live.download_file().readall() == b"new"
    assert live.get_file_properties().metadata == {"v": "2"}
    assert names(share.list_directories_and_files()) == ["live"]


def test_a_directory_moves_with_all_that_is_known_of_its_content(share: Any, share_path: Path) -> None:
    share.create_directory("tmp").create_subdirectory("run")
    share.get_file_client("tmp/run/a.bin").upload_file(b"a", metadata={"k": "v"})
    share.create_directory("live")
    moved = share.get_directory_client("tmp/run").rename_directory("live/run")
    assert (share_path / "live" / "run" / "a.bin").read_bytes() == b"a"
    assert moved.get_file_client("a.bin").get_file_properties().metadata == {"k": "v"}
    with pytest.raises(ResourceNotFoundError):
        share.get_directory_client("tmp/run").get_directory_properties()
    share.create_directory("full")
    with pytest.raises(ResourceExistsError) as refused:
        share.get_directory_client("full").rename_directory("live", overwrite=True)
    assert code(refused) == (409, "ResourceAlreadyExists")
    with pytest.raises(HttpResponseError) as into_itself:
        share.get_directory_client("live").rename_directory("live/run/live")
    assert code(into_itself) == (400, "InvalidInput")


def test_a_rename_names_what_is_missing(share: Any) -> None:
    with pytest.raises(ResourceNotFoundError) as no_source:
        share.get_file_client("a").rename_file("b")
    share.get_file_client("a").create_file(1)
    with pytest.raises(ResourceNotFoundError) as no_parent:
        share.get_file_client("a").rename_file("d/b")
    assert code(no_source) == (404, "ResourceNotFound")
    assert code(no_parent) == (404, "ParentNotFound")


def test_names_that_xml_cannot_hold_are_listed(server: Any, share: Any) -> None:
    directory = share.create_directory("d\ufffe")
    directory.upload_file("a\uffff%20b", b"x")
    directory.create_subdirectory("a%20b")
    assert names(directory.list_directories_and_files()) == ["a%20b", "a\uffff%20b"]
    assert names(directory.list_directories_and_files(name_starts_with="a\uffff")) == ["a\uffff%20b"]
    path = f"/{server.account}/models/d%EF%BF%BE?restype=directory&comp=list&prefix=a%EF%BF%BF"
    answer = send(server, "GET", path, {}).text
    assert 'Encoded="true" DirectoryPath="d%EF%BF%BE"' in answer
    assert '<Prefix Encoded="true">a%EF%BF%BF</Prefix>' in answer
    assert '<Name Encoded="true">a%EF%BF%BF%2520b</Name>' in answer
    refused = send(server, "GET", f"/{server.account}/models/a%01b", {}).text
    assert "'a%01b' is not a file or directory name" in refused


def test_names_differ_in_more_than_letter_case_and_keep_their_spelling(share: Any, share_path: Path) -> None:
    share.create_directory("Adapters")
    share.get_file_client("ADAPTERS/Tone.JSON").upload_file(b"{}", metadata={"a": "b"})
    file = share.get_file_client("adapters/tone.json")
    assert file.download_file().readall() == b"{}"
    assert file.get_file_properties().metadata == {"a": "b"}
    assert [str(path.relative_to(share_path)) for path in share_path.rglob("*.*")] == ["Adapters/Tone.JSON"]
    file.rename_file("adapters/TONE.json")
    assert [str(path.relative_to(share_path)) for path in share_path.rglob("*.*")] == ["Adapters/TONE.json"]
    assert file.get_file_properties().metadata == {"a": "b"}


def test_trailing_dots_count_only_where_asked_for(server: Any, share: Any) -> None:
    share.get_file_client("a...").upload_file(b"plain")
    with server.share(allow_trailing_dot=True) as dotted:
        dotted.get_file_client("a..").upload_file(b"dotted")
        assert sorted(names(dotted.list_directories_and_files())) == ["a", "a.."]
        assert dotted.get_file_client("a..").download_file().readall() == b"dotted"
    assert share.get_file_client("a..").download_file().readall() == b"plain"


@pytest.mark.parametrize("name", ["a:b", "a|b", "a*b", "a<b", 'a"b', "a\\b", "a\x01b", "x" * 256])
def test_names_that_windows_forbids_are_refused(share: Any, share_path: Path, name: str) -> None:
    with pytest.raises(HttpResponseError) as refused:
        share.get_file_client(name).create_file(1)
    assert code(refused) == (400, "InvalidResourceName")
    assert list(share_path.iterdir()) == []


def test_a_name_too_long_for_the_disk_is_refused_without_a_traceback(share: Any) -> None:
    with pytest.raises(HttpResponseError) as refused:
        share.get_file_client("é" * 200).create_file(1)
    assert code(refused) == (400, "InvalidFileOrDirectoryPathName")


def test_leftovers_of_a_killed_process_are_cleared(
    server: Any, share: Any, start_server: Callable[[], Any]
) -> None:
    leftover = server.root / ".uploads" / "half-written"
    leftover.parent.mkdir(exist_ok=True)
    leftover.write_bytes(b"half")
    with start_server().share() as reopened:
        assert names(reopened.list_directories_and_files()) == []
    assert not leftover.exists()


def test_what_a_container_deletes_is_gone_for_the_client(share: Any, share_path: Path) -> None:
    share.create_directory("d")
    share.get_file_client("d/a").upload_file(b"a", metadata={"old": "yes"})
    shutil.rmtree(share_path / "d")
    assert names(share.list_directories_and_files()) == []
    assert share.get_file_client("d/a").exists() is False


def test_condition_headers_are_refused_like_all_that_is_not_supported(share: Any) -> None:
    with pytest.raises(HttpResponseError) as refused:
        share.get_file_client("a").create_file(1, headers={"If-Match": '"0x8DC90E17458E275"'})
    assert code(refused) == (400, "ConditionHeadersNotSupported")
