"""Ranges that are copied from a URL, listed in pages and compared to a snapshot; content with a CRC64."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.storage.fileshare import generate_file_sas
from hypothesis import given
from hypothesis import strategies as st
from tests.emulator.files.conftest import OTHER_ACCOUNT
from tests.emulator.files.test_files_auth import send

from containerapps_emulator.storage import structured
from containerapps_emulator.storage.crc64 import as_header, crc64, joined
from containerapps_emulator.storage.errors import FilesError

MIB = 1024 * 1024
CHECK = b"123456789"
MESSAGE = {"x-ms-structured-body": "XSM/1.0; properties=crc64"}


def refusal(act: Callable[[], Any]) -> tuple[int, str]:
    with pytest.raises(HttpResponseError) as refused:
        act()
    error = refused.value.error_code
    return refused.value.status_code, str(getattr(error, "value", error))


def with_token(server: Any, file: Any, account: str, permission: str = "r") -> str:
    """The URL of the file with a token to read it."""
    later = datetime.now(UTC) + timedelta(days=1)
    token = generate_file_sas(
        account, file.share_name, file.file_path, server.key, permission=permission, expiry=later
    )
    return f"{file.url}?{token}"


@pytest.mark.parametrize("length", [512, 2 * MIB])
def test_a_range_is_copied_from_a_file_of_another_account(server: Any, share: Any, length: int) -> None:
    data = bytes(range(256)) * (length // 256)
    with replace(server, account=OTHER_ACCOUNT).share() as foreign:
        foreign.create_share()
        source = foreign.get_file_client("source")
        source.upload_file(b"before" + data)
    target = share.get_file_client("target")
    target.create_file(3 * MIB)
    url = with_token(server, source, OTHER_ACCOUNT)
    answer = target.upload_range_from_url(url, 1024, length, 6)
    assert target.download_file(1024, length).readall() == data
    told = answer["content_crc64"]
    assert told == (None if length > MIB else crc64(data).to_bytes(8, "little"))


def test_the_source_of_a_range_needs_a_token_that_reads_it(server: Any, share: Any) -> None:
    source, target = share.get_file_client("source"), share.get_file_client("target")
    source.upload_file(b"x" * 512)
    target.create_file(512)
    token, writing = (with_token(server, source, server.account, sp) for sp in ("r", "w"))
    for url, status, code in (
        (source.url, 401, "NoAuthenticationInformation"),
        (writing, 403, "AuthorizationPermissionMismatch"),
        (token.replace("source", "missing"), 403, "AuthenticationFailed"),
        (f"https://{server.account}.blob.core.windows.net/models/source", 400, "CannotVerifyCopySource"),
    ):
        with pytest.raises(HttpResponseError) as refused:
            target.upload_range_from_url(url, 0, 512, 0)
        headers = refused.value.response.headers
        assert refused.value.error_code == headers["x-ms-error-code"] == "CannotVerifyCopySource"
        assert (headers["x-ms-copy-source-status-code"], headers["x-ms-copy-source-error-code"]) == (
            str(status),
            code,
        )
        assert refused.value.status_code == status
        assert f"<CopySourceErrorCode>{code}<" in refused.value.response.text()
    copy = partial(target.upload_range_from_url, source.url, 0, 512, 0)
    wrong = partial(copy, source_authorization="Bearer https://vault.azure.net")
    assert refusal(wrong) == (401, "CannotVerifyCopySource")
    copy(source_authorization="Bearer https://storage.azure.com")
    assert target.download_file().readall() == b"x" * 512
    assert refusal(lambda: target.upload_range_from_url(token, 0, 512, 1)) == (416, "CannotVerifyCopySource")
    target.acquire_lease()
    assert refusal(lambda: target.upload_range_from_url(token, 0, 512, 0)) == (412, "LeaseIdMissing")


def test_a_copied_range_keeps_the_last_write_time_where_that_is_said(server: Any, share: Any) -> None:
    source, target = share.get_file_client("source"), share.get_file_client("target")
    source.upload_file(b"x" * 512)
    moment = datetime(2022, 3, 10, 10, 14, 30, tzinfo=UTC)
    target.create_file(512, file_last_write_time=moment)
    url = with_token(server, source, server.account)
    for mode, kept in (("preserve", True), ("now", False)):
        target.upload_range_from_url(url, 0, 512, 0, file_last_write_mode=mode)
        assert (target.get_file_properties().last_write_time == moment) is kept


def test_a_range_is_copied_if_its_checksum_is_as_said(server: Any, share: Any) -> None:
    source, target = share.get_file_client("source"), share.get_file_client("target")
    source.upload_file(CHECK)
    target.create_file(9)
    url, right, wrong = with_token(server, source, server.account), as_header(crc64(CHECK)), as_header(1)

    def copy(**conditions: str) -> Any:
        headers = {f"x-ms-source-{name.replace('_', '-')}": value for name, value in conditions.items()}
        return target.upload_range_from_url(url, 0, 9, 0, headers=headers)

    copy(content_crc64=right, if_match_crc64=right, if_none_match_crc64=wrong)
    assert refusal(lambda: copy(content_crc64=wrong)) == (400, "Crc64Mismatch")
    assert refusal(lambda: copy(if_match_crc64=wrong)) == (412, "SourceConditionNotMet")
    assert refusal(lambda: copy(if_none_match_crc64=right)) == (412, "SourceConditionNotMet")


@pytest.mark.parametrize(
    ("headers", "body", "code"),
    [
        ({"x-ms-write": "clear"}, b"", "InvalidHeaderValue"),
        ({"x-ms-source-range": "bytes=0-7"}, b"", "InvalidHeaderValue"),
        ({"x-ms-source-range": "0-8"}, b"", "InvalidHeaderValue"),
        ({"x-ms-copy-source-authorization": "Basic x"}, b"", "CannotVerifyCopySource"),
        ({}, CHECK, "InvalidHeaderValue"),
    ],
)
def test_a_wrong_request_to_copy_a_range_is_refused(
    server: Any, share: Any, headers: dict[str, str], body: bytes, code: str
) -> None:
    share.get_file_client("a").upload_file(CHECK)
    path = f"/{server.account}/models/a"
    sent = {
        "x-ms-write": "update",
        "x-ms-range": "bytes=0-8",
        "x-ms-source-range": "bytes=0-8",
        "x-ms-copy-source": server.url + path,
    }
    answer = send(server, "PUT", f"{path}?comp=range", {**sent, **headers}, body)
    assert answer.headers["x-ms-error-code"] == code


def spans(listed: Any) -> list[tuple[int, int, bool]]:
    return [(item.start, item.end, item.cleared) for item in listed]


def test_ranges_are_listed_in_pages(share: Any) -> None:
    file = share.get_file_client("a")
    file.create_file(8192)
    for offset in (0, 1024, 4096):
        file.upload_range(b"x" * 512, offset, 512)
    found = [(offset, offset + 511, False) for offset in (0, 1024, 4096)]
    pages = [spans(page) for page in file.list_ranges(results_per_page=2).by_page()]
    assert pages == [found[:2], found[2:]]
    assert spans(file.list_ranges()) == found
    assert spans(file.list_ranges(offset=512, length=1024)) == found[1:2]


def test_a_file_is_compared_to_a_snapshot(share: Any) -> None:
    file = share.get_file_client("a")
    file.create_file(3 * MIB)
    first = share.create_snapshot()
    file.upload_range(b"x" * 1536, 0, 1536)
    second = share.create_snapshot()
    file.clear_range(512, 512)
    file.upload_range(b"y" * 512, 2 * MIB, 512)
    late = (2 * MIB, 2 * MIB + 511, False)
    assert spans(file.list_ranges_diff(second)) == [(512, 1023, True), late]
    since_first = [(0, 511, False), (512, 1023, True), (1024, 1535, False), late]
    assert spans(file.list_ranges_diff(first)) == since_first
    pages = [spans(page) for page in file.list_ranges_diff(first, results_per_page=3).by_page()]
    assert pages == [since_first[:3], since_first[3:]]
    assert spans(file.list_ranges_diff(first, offset=1024, length=512)) == [(1024, 1535, False)]
    assert spans(file.list_ranges_diff(share.create_snapshot())) == []
    file.resize_file(1024)
    assert spans(file.list_ranges_diff(second)) == [(512, 1023, True)]


def test_snapshots_are_compared_to_older_ones(server: Any, share: Any) -> None:
    file = share.get_file_client("a")
    file.upload_file(b"x" * 512)
    first = share.create_snapshot()["snapshot"]
    file.upload_range(b"y" * 512, 0, 512)
    second = share.create_snapshot()["snapshot"]
    file.delete_file()
    kept = [server.share(snapshot=stamp).get_file_client("a") for stamp in (first, second)]
    assert spans(kept[1].list_ranges_diff(first)) == [(0, 511, False)]
    newer = lambda: list(kept[0].list_ranges_diff(second))  # noqa: E731
    assert refusal(newer) == (409, "PreviousSnapshotCannotBeNewer")


def test_a_renamed_file_is_compared_where_that_is_said(share: Any, share_path: Path) -> None:
    file = share.create_directory("d").upload_file("a", b"x" * 1024)
    share.get_file_client("b").upload_file(b"z" * 1024)
    before = share.create_snapshot()
    file.upload_range(b"y" * 512, 512, 512)
    moved = file.rename_file("d/c")
    with pytest.raises(ResourceExistsError) as refused:
        list(moved.list_ranges_diff(before))
    assert refused.value.error_code == "PreviousSnapshotNotFound"
    assert spans(moved.list_ranges_diff(before, include_renames=True)) == [(512, 1023, False)]
    kept = share.get_file_client("b")
    assert spans(kept.list_ranges_diff(before, include_renames=True)) == []
    (share_path / "e").write_bytes(b"new")
    made = share.get_file_client("e")
    with pytest.raises(ResourceExistsError):
        list(made.list_ranges_diff(before, include_renames=True))


def test_the_checksum_is_the_one_of_the_standard() -> None:
    assert crc64(CHECK) == 0xAE8B14860A799888
    assert crc64(b"") == 0
    for place in range(10):
        first, second = CHECK[:place], CHECK[place:]
        assert joined(crc64(first), crc64(second), len(second)) == crc64(CHECK)


@given(st.binary(max_size=2000), st.integers(1, 900))
def test_a_message_holds_what_was_put_in(data: bytes, segment_bytes: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structured, "_SEGMENT_BYTES", segment_bytes)
        body = b"".join(structured.message(lambda start, size: data[start : start + size], 0, len(data)))
        shape = structured.shape(len(data))
    assert shape["content-length"] == str(len(body))
    assert structured.received(body, shape) == data
    for place in range(0, len(body), 1 + len(body) // 20):
        damaged = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        with pytest.raises(FilesError):
            structured.received(damaged, shape)
        with pytest.raises(FilesError):
            structured.received(body[:place], shape)


def message(data: bytes) -> bytes:
    """One segment, made by hand."""
    checksum = struct.pack("<Q", crc64(data))
    head = struct.pack("<BQHHHQ", 1, len(data) + 39, 1, 1, 1, len(data))
    return head + data + checksum + checksum


def test_content_goes_up_and_comes_down_in_messages(server: Any, share: Any) -> None:
    path, length = f"/{server.account}/models/a", {"x-ms-structured-content-length": "9"}
    created = {"x-ms-type": "file", "x-ms-content-length": "9", **MESSAGE, **length}
    answer = send(server, "PUT", path, created, message(CHECK))
    assert (answer.status_code, answer.headers["x-ms-structured-body"]) == (201, *MESSAGE.values())
    assert share.get_file_client("a").download_file().readall() == CHECK
    written = {"x-ms-write": "update", "x-ms-range": "bytes=0-8", **MESSAGE, **length}
    answer = send(server, "PUT", f"{path}?comp=range", written, message(CHECK[::-1]))
    assert (answer.status_code, answer.headers["x-ms-structured-body"]) == (201, *MESSAGE.values())
    for headers, status, wanted in (({}, 200, CHECK[::-1]), ({"x-ms-range": "bytes=2-4"}, 206, b"765")):
        answer = send(server, "GET", path, {**MESSAGE, **headers})
        assert (answer.status_code, answer.content) == (status, message(wanted))
        assert answer.headers["x-ms-structured-content-length"] == str(len(wanted))


@pytest.mark.parametrize(
    ("headers", "body", "code"),
    [
        ({"x-ms-structured-content-length": "8"}, message(CHECK), "InvalidHeaderValue"),
        ({}, message(CHECK)[:-1], "InvalidInput"),
        ({}, message(CHECK).replace(b"5", b"6"), "Crc64Mismatch"),
        ({}, message(CHECK)[:-1] + b"x", "Crc64Mismatch"),
        ({"x-ms-structured-body": "XSM/1.0; properties=none"}, message(CHECK), "UnsupportedHeader"),
    ],
)
def test_a_damaged_message_changes_nothing(
    server: Any, share: Any, headers: dict[str, str], body: bytes, code: str
) -> None:
    share.get_file_client("a").upload_file(bytes(9))
    sent = {
        "x-ms-write": "update",
        "x-ms-range": "bytes=0-8",
        "x-ms-structured-content-length": "9",
        **MESSAGE,
    }
    answer = send(server, "PUT", f"/{server.account}/models/a?comp=range", {**sent, **headers}, body)
    assert answer.headers["x-ms-error-code"] == code
    assert share.get_file_client("a").download_file().readall() == bytes(9)


def test_a_checksum_in_a_header_is_held_to(server: Any, share: Any) -> None:
    share.get_file_client("a").upload_file(bytes(9))
    sent = {"x-ms-write": "update", "x-ms-range": "bytes=0-8"}
    path = f"/{server.account}/models/a?comp=range"
    wrong = send(server, "PUT", path, {**sent, "x-ms-content-crc64": as_header(1)}, CHECK)
    assert wrong.headers["x-ms-error-code"] == "Crc64Mismatch"
    right = send(server, "PUT", path, {**sent, "x-ms-content-crc64": as_header(crc64(CHECK))}, CHECK)
    assert right.headers["x-ms-content-crc64"] == as_header(crc64(CHECK))


def test_a_message_has_four_mib_of_content_and_not_more(server: Any, share: Any) -> None:
    file = share.get_file_client("a")
    file.create_file(4 * MIB + 1)
    for length, code in ((4 * MIB, None), (4 * MIB + 1, "RequestBodyTooLarge")):
        sent = {
            "x-ms-write": "update",
            "x-ms-range": f"bytes=0-{length - 1}",
            "x-ms-structured-content-length": str(length),
            **MESSAGE,
        }
        answer = send(server, "PUT", f"/{server.account}/models/a?comp=range", sent, message(b"x" * length))
        assert answer.headers.get("x-ms-error-code") == code
    assert file.download_file(4 * MIB - 1, 2).readall() == b"x\0"
