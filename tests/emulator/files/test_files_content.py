"""Bytes in and out through Microsoft's client: ranges, checksums, sizes, and writes by containers."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.storage.fileshare import ContentSettings
from azure.storage.fileshare.aio import ShareClient as AsyncShareClient

MIB = 1024 * 1024


def md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def test_nine_mib_go_up_and_down_in_parallel_ranges(share: Any, share_path: Path) -> None:
    data = os.urandom(9 * MIB + 17)
    file = share.get_file_client("model.safetensors")
    file.upload_file(
        data,
        max_concurrency=4,
        validate_content=True,
        content_settings=ContentSettings(content_md5=md5(data)),
    )
    assert (share_path / "model.safetensors").read_bytes() == data
    assert file.download_file(max_concurrency=4, validate_content=True).readall() == data
    properties = file.get_file_properties()
    assert properties.size == len(data)
    assert properties.content_settings.content_md5 == md5(data)


def test_a_created_file_is_there_at_once_full_of_zeros(share: Any, share_path: Path) -> None:
    file = share.get_file_client("new.bin")
    file.create_file(3 * MIB)
    assert (share_path / "new.bin").read_bytes() == bytes(3 * MIB)
    file.upload_range(b"abc", offset=MIB, length=3)
    assert file.download_file(offset=MIB - 1, length=5).readall() == b"\0abc\0"


def test_a_file_created_with_content_needs_no_second_request(share: Any, share_path: Path) -> None:
    share.get_file_client("aliases.json").create_file(2, data=b"{}")
    assert (share_path / "aliases.json").read_bytes() == b"{}"


def test_a_replaced_file_stays_whole_for_who_has_it_open(share: Any, share_path: Path) -> None:
    file = share.get_file_client("weights")
    file.upload_file(b"old weights")
    with (share_path / "weights").open("rb") as held_by_a_container:
        file.upload_file(b"new")
        assert held_by_a_container.read() == b"old weights"
    assert file.download_file().readall() == b"new"


def test_a_checksum_that_does_not_match_is_refused_and_changes_nothing(share: Any) -> None:
    file = share.get_file_client("a.bin")
    file.upload_file(b"before")
    wrong = base64.b64encode(md5(b"other")).decode()
    with pytest.raises(HttpResponseError) as refused:
        file.upload_range(b"after!", offset=0, length=6, headers={"Content-MD5": wrong})
    assert (refused.value.status_code, refused.value.error_code) == (400, "Md5Mismatch")
    assert file.download_file().readall() == b"before"


def test_a_range_answer_carries_the_md5_of_what_was_written(share: Any) -> None:
    file = share.get_file_client("a.bin")
    file.create_file(6)
    answer = file.upload_range(b"abcdef", offset=0, length=6)
    assert bytes(answer["content_md5"]) == md5(b"abcdef")


def test_writing_beyond_the_end_is_an_invalid_range(share: Any) -> None:
    file = share.get_file_client("a.bin")
    file.create_file(4)
    with pytest.raises(HttpResponseError) as refused:
        file.upload_range(b"abc", offset=2, length=3)
    assert (refused.value.status_code, refused.value.error_code) == (416, "InvalidRange")


def test_reading_beyond_the_end_is_an_invalid_range(share: Any) -> None:
    file = share.get_file_client("a.bin")
    file.upload_file(b"abcd")
    with pytest.raises(HttpResponseError) as refused:
        file.download_file(offset=4, length=1).readall()
    assert (refused.value.status_code, refused.value.error_code) == (416, "InvalidRange")


def test_more_than_four_mib_in_one_request_is_refused(share: Any) -> None:
    file = share.get_file_client("a.bin")
    file.create_file(5 * MIB)
    with pytest.raises(HttpResponseError) as refused:
        file.upload_range(bytes(4 * MIB + 1), offset=0, length=4 * MIB + 1)
    assert (refused.value.status_code, refused.value.error_code) == (413, "RequestBodyTooLarge")


def test_an_empty_file_downloads_empty(share: Any) -> None:
    file = share.get_file_client("empty")
    file.upload_file(b"")
    assert file.download_file().readall() == b""


def test_a_cleared_range_reads_as_zeros(share: Any) -> None:
    file = share.get_file_client("a.bin")
    file.upload_file(b"x" * 2048)
    file.clear_range(offset=512, length=512)
    assert file.download_file().readall() == b"x" * 512 + bytes(512) + b"x" * 1024


def test_the_range_list_names_what_was_written(share: Any) -> None:
    file = share.get_file_client("sparse.bin")
    file.create_file(8 * MIB)
    assert list(file.list_ranges()) == []
    file.upload_range(os.urandom(MIB), offset=4 * MIB, length=MIB)
    assert [(found.start, found.end) for found in file.list_ranges()] == [(4 * MIB, 5 * MIB - 1)]


def test_resizing_cuts_and_extends(share: Any, share_path: Path) -> None:
    file = share.get_file_client("a.bin")
    file.upload_file(b"abcdef", content_settings=ContentSettings(content_type="text/plain"))
    file.resize_file(3)
    assert (share_path / "a.bin").read_bytes() == b"abc"
    file.resize_file(5)
    assert file.download_file().readall() == b"abc\0\0"
    assert file.get_file_properties().content_settings.content_type == "text/plain"


def test_what_a_container_writes_is_visible_and_keeps_no_stale_md5(share: Any, share_path: Path) -> None:
    file = share.get_file_client("a.bin")
    file.upload_file(
        b"from the client", content_settings=ContentSettings(content_md5=md5(b"from the client"))
    )
    before = file.get_file_properties()
    (share_path / "a.bin").write_bytes(b"from a container")
    after = file.get_file_properties()
    assert file.download_file().readall() == b"from a container"
    assert before.content_settings.content_md5 == md5(b"from the client")
    assert after.content_settings.content_md5 is None
    assert (after.size, after.etag != before.etag) == (16, True)
    file.upload_range(b"F", offset=0, length=1)
    assert file.get_file_properties().content_settings.content_md5 is None


def test_a_file_that_only_a_container_knows_of_can_be_used_in_full(share: Any, share_path: Path) -> None:
    (share_path / "logs").mkdir()
    (share_path / "logs" / "run.txt").write_bytes(b"hello")
    file = share.get_file_client("logs/run.txt")
    assert file.download_file().readall() == b"hello"
    file.set_file_metadata({"seen": "yes"})
    assert file.get_file_properties().metadata == {"seen": "yes"}
    file.delete_file()
    assert not (share_path / "logs" / "run.txt").exists()


def test_every_acknowledged_change_has_its_own_etag(share: Any) -> None:
    file = share.get_file_client("a.bin")
    etags = [file.create_file(1)["etag"]]
    etags += [file.upload_range(b"x", offset=0, length=1)["etag"] for _ in range(20)]
    etags += [file.set_file_metadata({"n": str(n)})["etag"] for n in range(20)]
    assert len(set(etags)) == 41
    assert file.get_file_properties().etag == etags[-1]


async def test_fifty_uploads_at_once_with_the_async_client(share: Any) -> None:
    async with AsyncShareClient.from_share_url(share.url, credential=share.credential.account_key) as client:
        contents = {f"part-{n}.bin": os.urandom(1000 + n) for n in range(50)}
        files = {name: client.get_file_client(name) for name in contents}
        await asyncio.gather(*(files[name].upload_file(data) for name, data in contents.items()))
        downloads = [await files[name].download_file(validate_content=True) for name in contents]
        assert [await download.readall() for download in downloads] == list(contents.values())


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # how the SDK uses aiohttp
async def test_parallel_ranges_of_one_file_keep_its_md5(share: Any) -> None:
    data = os.urandom(9 * MIB)
    async with AsyncShareClient.from_share_url(share.url, credential=share.credential.account_key) as client:
        file = client.get_file_client("big.bin")
        await file.upload_file(
            data, max_concurrency=4, content_settings=ContentSettings(content_md5=md5(data))
        )
        properties = await file.get_file_properties()
        assert properties.content_settings.content_md5 == md5(data)


def test_a_missing_parent_and_a_missing_file_are_told_apart(share: Any) -> None:
    with pytest.raises(ResourceNotFoundError) as no_parent:
        share.get_file_client("no/such.bin").create_file(1)
    with pytest.raises(ResourceNotFoundError) as no_file:
        share.get_file_client("such.bin").download_file()
    assert no_parent.value.error_code == "ParentNotFound"
    assert no_file.value.error_code == "ResourceNotFound"
