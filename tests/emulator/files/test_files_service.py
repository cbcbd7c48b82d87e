"""What is beside the files: service settings, access policies, handles, copies on the server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.storage.fileshare import ContentSettings, CorsRule, Metrics, RetentionPolicy
from tests.emulator.files.test_files_auth import send


def test_service_settings_are_kept(server: Any, start_server: Any) -> None:
    with server.service() as service:
        assert not service.get_service_properties()["hour_metrics"].enabled
        metrics = Metrics(enabled=True, include_apis=True, retention_policy=RetentionPolicy(True, days=5))
        service.set_service_properties(hour_metrics=metrics, cors=[CorsRule(["*"], ["GET"])])
        service.set_service_properties(minute_metrics=metrics)
    with start_server().service() as service:
        kept = service.get_service_properties()
    assert kept["hour_metrics"].retention_policy.days == kept["minute_metrics"].retention_policy.days == 5
    assert [rule.allowed_methods for rule in kept["cors"]] == ["GET"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            "?restype=service&comp=properties",
            b"<StorageServiceProperties><Other/></StorageServiceProperties>",
        ),
        ("?restype=service&comp=properties", b"<Other/>"),
        ("?restype=service&comp=properties", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'),
        ("?restype=service&comp=properties", b"\xff\xfe"),
        ("/models?restype=share&comp=acl", b"<SignedIdentifiers><SignedIdentifier/></SignedIdentifiers>"),
        (
            "/models?restype=share&comp=acl",
            b"<SignedIdentifiers>%b</SignedIdentifiers>"
            % b"".join(b"<SignedIdentifier><Id>%d</Id></SignedIdentifier>" % n for n in range(6)),
        ),
    ],
)
def test_xml_that_is_not_understood_is_refused(server: Any, share: Any, path: str, body: bytes) -> None:
    answer = send(server, "PUT", f"/{server.account}{path}", {}, body)
    assert (answer.status_code, answer.headers["x-ms-error-code"]) == (400, "InvalidXmlDocument")


def test_an_account_has_five_cors_rules(server: Any, share: Any) -> None:
    rules = [CorsRule([f"https://{n}.example"], ["GET"]) for n in range(6)]
    with server.service() as service:
        service.set_service_properties(cors=rules[:5])
        with pytest.raises(HttpResponseError, match="At most 5 CORS rules, not 6"):
            service.set_service_properties(cors=rules)
        assert len(service.get_service_properties()["cors"]) == 5


def test_nobody_holds_a_handle(share: Any) -> None:
    directory = share.create_directory("d")
    file = share.get_file_client("d/a")
    file.create_file(1)
    assert list(directory.list_handles(recursive=True)) == list(file.list_handles()) == []
    assert directory.close_all_handles()["closed_handles_count"] == 0
    assert file.close_all_handles()["closed_handles_count"] == 0
    with pytest.raises(ResourceNotFoundError):
        list(share.get_file_client("missing").list_handles())


def test_a_copy_is_complete_when_it_is_answered(server: Any, share: Any, share_path: Path) -> None:
    source = share.get_file_client("source é")
    settings = ContentSettings(content_type="text/plain", content_md5=bytearray(16))
    source.upload_file(b"abc" * 3_000_000, metadata={"a": "b"}, content_settings=settings)
    copied = share.get_file_client("copy")
    answer = copied.start_copy_from_url(source.url)
    assert answer["copy_status"] == "success"
    properties = copied.get_file_properties()
    assert properties.copy.id == answer["copy_id"]
    assert properties.copy.source == source.url
    assert (properties.metadata, properties.content_settings.content_type) == ({"a": "b"}, "text/plain")
    assert properties.content_settings.content_md5 == bytearray(16)
    assert (share_path / "copy").read_bytes() == (share_path / "source é").read_bytes()
    copied.start_copy_from_url(source.url, metadata={"c": "d"})
    assert copied.get_file_properties().metadata == {"c": "d"}
    with pytest.raises(ResourceExistsError) as refused:
        copied.abort_copy(answer["copy_id"])
    assert refused.value.error_code == "NoPendingCopyOperation"


MOMENTS = {
    f"file_{name}_time": datetime(2022, 3, 10, 10, 14, second, 500_000, tzinfo=UTC)
    for second, name in enumerate(("creation", "last_write", "change"))
}


def times(file: Any) -> list[datetime]:
    properties = file.get_file_properties()
    return [properties.creation_time, properties.last_write_time, properties.change_time]


def test_a_copy_has_the_attributes_and_times_that_are_said(share: Any) -> None:
    original, copy = share.get_file_client("a.bin"), share.get_file_client("b.bin")
    original.create_file(1, file_attributes="Hidden|System", **MOMENTS)
    copy.start_copy_from_url(original.url)
    assert copy.get_file_properties().file_attributes == "Hidden | System"
    assert all(moment.year > 2022 for moment in times(copy))
    said = dict.fromkeys((*MOMENTS, "file_attributes"), "source")
    copy.start_copy_from_url(original.url, set_archive_attribute=True, **said)
    assert copy.get_file_properties().file_attributes == "Hidden | System | Archive"
    assert times(copy) == list(MOMENTS.values())
    later = {name: moment + timedelta(days=1) for name, moment in MOMENTS.items()}
    copy.start_copy_from_url(original.url, file_attributes="Temporary|NoScrubData", **later)
    assert copy.get_file_properties().file_attributes == "Temporary | NoScrubData"
    assert times(copy) == list(later.values())


def test_a_copy_from_another_share_of_the_account(server: Any, share: Any) -> None:
    other = server.share("other")
    other.create_share()
    other.get_file_client("a").upload_file(b"abc")
    target = share.get_file_client("a")
    for source in (other.get_file_client("a").url, f"https://{server.account}.file.core.windows.net/other/a"):
        target.start_copy_from_url(source)
        assert target.download_file().readall() == b"abc"


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("{url}/{account}/models/missing", "ResourceNotFound"),
        ("{url}/{account}/nosuchshare/a", "ShareNotFound"),
        ("{url}/otheraccount/models/a", "CannotVerifyCopySource"),
        ("{url}/{account}/models", "CannotVerifyCopySource"),
        ("{url}/{account}/models/a?sharesnapshot=x", "ShareSnapshotNotFound"),
        ("{url}/{account}/models/..%2f..%2fa", "InvalidResourceName"),
        ("http://[", "InvalidHeaderValue"),
    ],
)
def test_what_cannot_be_copied_is_said(server: Any, share: Any, source: str, code: str) -> None:
    share.get_file_client("a").upload_file(b"abc")
    with pytest.raises(HttpResponseError) as refused:
        share.get_file_client("b").start_copy_from_url(source.format(url=server.url, account=server.account))
    assert refused.value.error_code == code
    assert not share.get_file_client("b").exists()
