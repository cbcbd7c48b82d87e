"""Security descriptors of entries: their texts and binary forms, their keys, and who gets which."""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.fileshare import ContentSettings, NTFSAttributes
from hypothesis import given
from hypothesis import strategies as st

from containerapps_emulator.storage.security_descriptor import from_binary, from_text, to_binary, to_text

TEXT = "O:S-1-5-21-1-2-3-500G:BAD:PAI(A;OICI;FA;;;SY)(D;;0x1200a9;;;S-1-5-21-1-2-3-4294967295)"
OTHER = "O:SYG:SYD:(A;;FA;;;WD)"
# Revision, control, places of owner, group, SACL, DACL; the DACL with one entry; owner; group.
OTHER_BINARY = base64.b64encode(
    bytes.fromhex("01000480 30000000 3c000000 00000000 14000000")
    + bytes.fromhex("02001c00 01000000 00001400 ff011f00 010100000000000100000000")
    + 2 * bytes.fromhex("010100000000000512000000")
).decode()


def refusal(act: Callable[[], Any]) -> str:
    with pytest.raises(HttpResponseError) as refused:
        act()
    error = refused.value.error_code
    return str(getattr(error, "value", error))


def test_a_permission_has_one_key_in_each_form(share: Any) -> None:
    key = share.create_permission_for_share(OTHER)
    file = share.get_file_client("a")
    file.create_file(1, file_permission=OTHER_BINARY, file_permission_format="binary")
    assert key == file.get_file_properties().permission_key
    assert key == share.create_permission_for_share("O:S-1-5-18G:SYD:(A;;0x1f01ff;;;S-1-1-0)")
    assert key != share.create_permission_for_share(TEXT)
    assert share.get_permission_for_share(key) == OTHER
    assert share.get_permission_for_share(key, file_permission_format="binary") == OTHER_BINARY
    with pytest.raises(HttpResponseError, match="x-ms-file-permission-format: xml"):
        share.get_permission_for_share(key, file_permission_format="xml")


def test_entries_have_the_permission_that_they_are_given(share: Any, start_server: Callable[[], Any]) -> None:
    key = share.create_permission_for_share(TEXT)
    plain = share.create_directory("plain").get_directory_properties().permission_key
    assert share.get_permission_for_share(plain).startswith("O:SYG:SYD:(A;OICI;FA;;;SY)")
    directory = share.create_directory("d", file_permission_key=key)
    file = directory.get_file_client("a")
    file.create_file(1, file_permission=OTHER)
    other = file.get_file_properties().permission_key
    assert share.get_permission_for_share(other) == OTHER
    file.set_http_headers(ContentSettings(), file_attributes=NTFSAttributes(hidden=True))
    assert file.get_file_properties().permission_key == other
    moved = directory.rename_directory("e").rename_directory("f", file_permission=OTHER)
    assert moved.get_directory_properties().permission_key == other
    share = start_server().share()
    kept = share.get_file_client("f/a")
    assert kept.get_file_properties().permission_key == other
    kept.set_http_headers(ContentSettings(), permission_key=key)
    (listed,) = share.list_directories_and_files("f", include=["PermissionKey"])
    assert listed["permission_key"] == key


def test_a_copy_has_the_permission_of_its_source_where_that_is_said(server: Any, share: Any) -> None:
    source = share.get_file_client("a")
    source.create_file(1, file_permission=TEXT)
    with server.share("other") as other:
        other.create_share()
        copy = other.get_file_client("a")
        copy.start_copy_from_url(source.url)
        assert copy.get_file_properties().permission_key != source.get_file_properties().permission_key
        assert refusal(lambda: other.get_permission_for_share(source.get_file_properties().permission_key))
        said = {"x-ms-file-permission-copy-mode": "source"}
        copy.start_copy_from_url(source.url, headers=said)
        assert other.get_permission_for_share(copy.get_file_properties().permission_key) == TEXT
        copy.start_copy_from_url(source.url, file_permission=OTHER)
        assert other.get_permission_for_share(copy.get_file_properties().permission_key) == OTHER
        for headers, code in (
            ({"x-ms-file-permission-copy-mode": "override"}, "MissingRequiredHeader"),
            ({"x-ms-file-permission-copy-mode": "both"}, "InvalidHeaderValue"),
            ({**said, "x-ms-file-permission": OTHER}, "InvalidHeaderValue"),
        ):
            assert refusal(partial(copy.start_copy_from_url, source.url, headers=headers)) == code


def test_permissions_go_and_come_back_with_their_share(server: Any, share: Any) -> None:
    key = share.create_permission_for_share(TEXT)
    share.get_file_client("a").create_file(1, permission_key=key)
    stamp = share.create_snapshot()["snapshot"]
    assert server.share(snapshot=stamp).get_file_client("a").get_file_properties().permission_key == key
    share.delete_share(delete_snapshots=True)
    share.create_share()
    assert refusal(lambda: share.get_permission_for_share(key)) == "InvalidHeaderValue"
    share.delete_share()
    with server.service() as service:
        deleted = [item for item in service.list_shares(include_deleted=True) if item.deleted]
        service.undelete_share("models", deleted[0].version)
    assert share.get_permission_for_share(key) == TEXT
    assert share.get_file_client("a").get_file_properties().permission_key == key


@pytest.mark.parametrize(
    "text",
    [
        "abcde",
        "O:SY",
        "O:SYG:SY",
        "O:XXG:SYD:",
        "O:SYG:SYD:(A;;FA;;;SY",
        "O:SYG:SYD:(X;;FA;;;SY)",
        "O:SYG:SYD:(A;XX;FA;;;SY)",
        "O:SYG:SYD:(A;;XX;;;SY)",
        "O:SYG:SYD:(A;;0x1ffffffff;;;SY)",
        "O:SYG:SYD:(A;;FA;;)",
        "O:SYG:SYD:(OA;;FA;bf967a86-0de6-11d0-a285-00aa003049e2;;SY)",
        "O:S-1-5-4294967296G:SYD:",
        "O:S-1-5-99999999999999999999G:SYD:",
    ],
)
def test_what_is_no_permission_is_refused(share: Any, text: str) -> None:
    file = share.get_file_client("a")
    assert refusal(lambda: share.create_permission_for_share(text)) == "FileInvalidPermission"
    assert refusal(lambda: file.create_file(1, file_permission=text)) == "FileInvalidPermission"
    assert not file.exists()


@pytest.mark.parametrize("length", [1, 19, 20, 30, 48, 60])
def test_a_binary_form_that_ends_early_is_refused(share: Any, length: int) -> None:
    part = base64.b64encode(base64.b64decode(OTHER_BINARY)[:length]).decode()
    options = {"file_permission": part, "file_permission_format": "binary"}
    assert refusal(lambda: share.create_directory("d", **options)) == "FileInvalidPermission"


def test_a_key_that_nobody_knows_is_refused(share: Any) -> None:
    file = share.get_file_client("a")
    assert refusal(lambda: file.create_file(1, permission_key="1*2")) == "InvalidHeaderValue"
    long = OTHER + "(A;;FA;;;WD)" * 800
    too_long = {"x-ms-file-permission": long}
    assert refusal(lambda: file.create_file(1, headers=too_long)) == "InvalidHeaderValue"
    file.create_file(1, permission_key=share.create_permission_for_share(long))
    both = {"x-ms-file-permission": OTHER, "x-ms-file-permission-key": "1*2"}
    assert refusal(lambda: file.create_file(1, headers=both)) == "InvalidHeaderValue"


SIDS = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=15).map(
    lambda parts: "-".join(map(str, ("S-1-5", *parts)))
)
ACES = st.builds(
    "({};{};{};;;{})".format,
    st.sampled_from(["A", "D", "AU", "AL", "ML"]),
    st.sampled_from(["", "OI", "OICI", "OICINPIOIDSAFA"]),
    st.integers(1, 2**32 - 1).map(hex),
    SIDS,
)
ACLS = st.builds(
    "{}{}".format,
    st.sampled_from(["", "P", "PARAI", "AI"]),
    st.one_of(st.just("NO_ACCESS_CONTROL"), st.lists(ACES, max_size=5).map("".join)),
)


@given(SIDS, SIDS, ACLS, st.one_of(st.just(""), ACLS.map("S:{}".format)))
def test_either_form_of_a_permission_is_made_from_the_other(
    owner: str, group: str, dacl: str, sacl: str
) -> None:
    read = from_text(f"O:{owner}G:{group}D:{dacl}{sacl}")
    assert from_binary(to_binary(read)) == read
    assert from_text(to_text(read)) == read


@given(st.binary(max_size=200))
def test_any_bytes_are_a_permission_or_refused(data: bytes) -> None:
    try:
        read = from_binary(base64.b64encode(data).decode())
    except ValueError:
        return
    to_text(read)
