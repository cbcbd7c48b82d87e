"""Every operation of Azure Files that the local cloud has, and refusals of each kind, as one script."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.fileshare import (
    AccessPolicy,
    ContentSettings,
    CorsRule,
    Metrics,
    RetentionPolicy,
    ShareLeaseClient,
    ShareProtocolSettings,
    ShareSasPermissions,
    ShareSmbSettings,
    SmbMultichannel,
    generate_file_sas,
)

PERMISSION: Final = "O:SYG:SYD:(A;;FA;;;SY)(A;;0x1200a9;;;BU)"
CONTENT: Final = bytes(range(256)) * 256
SETTINGS: Final = ContentSettings(
    content_type="text/plain",
    content_encoding="identity",
    content_language="en",
    content_disposition="inline",
    cache_control="no-store",
    content_md5=bytearray(16),
)
ALL_INCLUDED: Final = ["timestamps", "ETag", "Attributes", "PermissionKey"]


def files_lifecycle(service: Any, stranger: Any) -> None:
    """`service` is the client of an account without shares, `stranger` one of it with a wrong key."""
    _service(service)
    share = service.get_share_client("models")
    _share(service, share)
    _directory(share)
    _file(share)
    _permissions(share)
    _ranges(service)
    _leases_of_a_file(share)
    _copies(share)
    _snapshots(service, share)
    _refusals(service, share, stranger)
    share.delete_share()
    _deleted(service, share)


def _service(service: Any) -> None:
    metrics = Metrics(enabled=True, include_apis=True, retention_policy=RetentionPolicy(True, days=5))
    service.get_service_properties()
    service.set_service_properties(
        hour_metrics=metrics,
        minute_metrics=metrics,
        cors=[CorsRule(["*"], ["GET", "PUT"], allowed_headers=["a"], exposed_headers=["b"])],
        protocol=ShareProtocolSettings(smb=ShareSmbSettings(multichannel=SmbMultichannel(enabled=True))),
    )
    assert service.get_service_properties()["cors"][0].allowed_origins == "*"
    assert not list(service.list_shares())


def _share(service: Any, share: Any) -> None:
    share.create_share(metadata={"a": "1"}, quota=5)
    other = service.create_share("models-too", protocols="NFS", root_squash="RootSquash", access_tier="Hot")
    other.set_share_properties(root_squash="AllSquash", access_tier="Cool")
    shown = other.get_share_properties()
    assert (shown.protocols, shown.root_squash, shown.access_tier) == (["NFS"], "AllSquash", "Cool")
    share.set_share_metadata({"a": "2"})
    share.set_share_quota(6)
    assert share.get_share_properties().quota == 6
    start = datetime.now(UTC)
    policy = AccessPolicy(ShareSasPermissions(read=True), start + timedelta(hours=1), start)
    share.set_share_access_policy({"read": policy, "nothing": AccessPolicy()})
    assert len(share.get_share_access_policy()["signed_identifiers"]) == 2
    assert share.get_share_stats() == 0
    lease = share.acquire_lease(lease_duration=15)
    lease.renew()
    lease.change(str(uuid.uuid4()))
    assert share.get_share_properties().lease.duration == "fixed"
    pages = service.list_shares(name_starts_with="m", include_metadata=True, results_per_page=1).by_page()
    assert [item.name for page in pages for item in page] == ["models", "models-too"]
    lease.break_lease(lease_break_period=0)
    lease.release()
    service.delete_share("models-too")


def _snapshots(service: Any, share: Any) -> None:
    stamp = share.create_snapshot(metadata={"kept": "yes"})["snapshot"]
    listed = list(service.list_shares(include_snapshots=True, include_metadata=True))
    assert [(item.name, item.snapshot) for item in listed] == [("models", stamp), ("models", None)]
    assert listed[0].metadata == {"kept": "yes"}
    share.get_file_client("new/inner.bin").delete_file()
    kept = service.get_share_client("models", snapshot=stamp)
    assert kept.get_share_properties().snapshot == stamp
    assert {item["name"] for item in kept.list_directories_and_files()} >= {"new", "copy.bin", "empty.bin"}
    assert kept.get_file_client("new/inner.bin").download_file().readall() == CONTENT
    _refused("ShareHasSnapshots", share.delete_share)
    _refused("ShareSnapshotOperationNotSupported", lambda: kept.get_file_client("copy.bin").delete_file())
    kept.delete_share()


def _deleted(service: Any, share: Any) -> None:
    gone = {item.name: item for item in service.list_shares(include_deleted=True)}
    deleted = gone["models"]
    assert (deleted.deleted, deleted.remaining_retention_days) == (True, 7)
    _refused("ShareNotFound", share.get_share_properties)
    _refused("ShareNotFound", lambda: service.undelete_share("models", "01D0000000000000"))
    service.undelete_share("models", deleted.version)
    assert share.get_file_client("copy.bin").get_file_properties().size == 0
    share.delete_share()


def _directory(share: Any) -> None:
    root = share.get_directory_client("")
    assert root.get_directory_properties().is_directory
    directory = share.create_directory("old", metadata={"a": "1"})
    directory = directory.rename_directory("new")
    directory.set_http_headers(file_attributes="none", file_creation_time=datetime.now(UTC))
    directory.set_directory_metadata({"a": "2"})
    assert directory.get_directory_properties().metadata == {"a": "2"}
    directory.create_subdirectory("inner").upload_file("weights.bin", CONTENT)
    directory.upload_file("inner.bin", CONTENT)
    for options in ({}, {"name_starts_with": "inner", "include": ALL_INCLUDED, "results_per_page": 1}):
        pages = directory.list_directories_and_files(**options).by_page()
        assert [item["name"] for page in pages for item in page] == ["inner", "inner.bin"]
    assert not list(directory.list_handles(recursive=True))
    assert directory.close_all_handles()["closed_handles_count"] == 0
    assert not list(root.list_handles())
    assert root.close_all_handles()["closed_handles_count"] == 0
    share.create_directory("empty").delete_directory()


def _file(share: Any) -> None:
    file = share.get_file_client("new/file.bin")
    file.create_file(len(CONTENT), content_settings=SETTINGS, metadata={"a": "1"})
    file.upload_range(CONTENT[:1024], offset=0, length=1024, validate_content=True)
    file.clear_range(offset=0, length=512)
    file.resize_file(2048)
    file.set_file_metadata({"a": "2"})
    assert list(file.list_ranges())
    file.set_http_headers(SETTINGS)
    assert file.get_file_properties().size == 2048
    assert file.download_file().readall()[512:1024] == CONTENT[512:1024]
    assert (
        file.download_file(offset=0, length=1024, validate_content=True).readall()[512:]
        == (CONTENT[512:1024])
    )
    assert not list(file.list_handles())
    assert file.close_all_handles()["closed_handles_count"] == 0
    file.rename_file("new/renamed.bin").delete_file()


def _permissions(share: Any) -> None:
    key = share.create_permission_for_share(PERMISSION)
    assert share.get_permission_for_share(key) == PERMISSION
    file = share.get_file_client("owned.bin")
    file.create_file(1, permission_key=key)
    assert file.get_file_properties().permission_key == key
    file.delete_file()


def _ranges(service: Any) -> None:
    share = service.create_share("ranges")
    source, target = share.get_file_client("source.bin"), share.get_file_client("target.bin")
    source.upload_file(CONTENT)
    target.create_file(len(CONTENT))
    before = share.create_snapshot()
    target.upload_range_from_url(f"{source.url}?{_token(source)}", 0, 1024, 1024)
    target.clear_range(512, 512)
    found = [(item.start, item.end, item.cleared) for item in target.list_ranges_diff(before)]
    assert found == [(0, 511, False), (512, 1023, True)]
    _refused("CannotVerifyCopySource", lambda: target.upload_range_from_url(source.url, 0, 512, 0))
    share.delete_share(delete_snapshots=True)


def _token(file: Any) -> str:
    later = datetime.now(UTC) + timedelta(hours=1)
    key = file.credential.account_key
    return str(generate_file_sas(file.account_name, file.share_name, file.file_path, key, "r", later))


def _leases_of_a_file(share: Any) -> None:
    file = share.get_file_client("leased.bin")
    file.upload_file(b"", content_settings=SETTINGS, metadata={"a": "1"})
    lease = file.acquire_lease()
    lease.change(str(uuid.uuid4()))
    assert file.get_file_properties().lease.status == "locked"
    assert (
        file.download_file().readall() == b""
    )  # of an empty file there is no range: the client asks for all
    _refused("LeaseIdMissing", file.delete_file)
    _refused("LeaseAlreadyPresent", file.acquire_lease)
    lease.release()
    file.upload_file(CONTENT)
    ShareLeaseClient(file).acquire()
    assert file.download_file().readall() == CONTENT
    ShareLeaseClient(file).break_lease()
    file.delete_file()


def _copies(share: Any) -> None:
    source, target = share.get_file_client("new/inner.bin"), share.get_file_client("copy.bin")
    for file, url in ((target, source.url), (source, target.url)):
        assert file.start_copy_from_url(url)["copy_status"] == "success"
    assert target.get_file_properties().copy.status == "success"
    assert target.download_file().readall() == CONTENT
    empty = share.get_file_client("empty.bin")
    empty.create_file(0)
    target.start_copy_from_url(empty.url)
    assert target.download_file().readall() == b""
    _refused("NoPendingCopyOperation", lambda: target.abort_copy("00000000-0000-0000-0000-000000000000"))


def _refusals(service: Any, share: Any, stranger: Any) -> None:
    here, file = share.get_directory_client("new"), share.get_file_client("copy.bin")
    nobody = service.get_share_client("nobody")
    for code, call in (
        ("AuthenticationFailed", lambda: list(stranger.list_shares())),
        ("ShareNotFound", nobody.get_share_properties),
        ("ShareNotFound", nobody.delete_share),
        ("ShareAlreadyExists", share.create_share),
        ("InvalidResourceName", lambda: service.create_share("No")),
        ("InvalidHeaderValue", lambda: share.set_share_quota(200_000)),
        ("LeaseNotPresentWithLeaseOperation", lambda: ShareLeaseClient(share).release()),
        ("ResourceAlreadyExists", here.create_directory),
        ("DirectoryNotEmpty", here.delete_directory),
        ("ParentNotFound", lambda: share.create_directory("no/where")),
        ("ResourceNotFound", share.get_directory_client("no").get_directory_properties),
        ("ResourceNotFound", share.get_file_client("no").get_file_properties),
        ("ResourceNotFound", lambda: share.get_file_client("no").download_file()),
        ("ResourceTypeMismatch", lambda: share.get_file_client("new").create_file(1)),
        ("InvalidRange", lambda: file.upload_range(b"12", offset=1 << 20, length=2)),
        ("CannotVerifyCopySource", lambda: file.start_copy_from_url("https://example.org/stranger/models/b")),
        ("FileInvalidPermission", lambda: share.create_permission_for_share("O:S")),
    ):
        _refused(code, call)


def _refused(code: str, call: Callable[[], Any]) -> None:
    with pytest.raises(HttpResponseError) as caught:
        call()
    assert str(caught.value.error_code).rpartition(".")[2] in (code, _constant(code)), caught.value


def _constant(code: str) -> str:
    """As the client spells a code that it knows: MADE_OF_WORDS."""
    return "".join(f"_{letter}" if letter.isupper() else letter for letter in code).strip("_").upper()
