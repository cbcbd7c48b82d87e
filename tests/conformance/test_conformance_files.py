"""Microsoft's client does everything that there is in Azure Files. Each answer on the way is held to
Microsoft's document of the data plane: status, headers and their types, error codes, the elements of XML.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import pytest
from azure.storage.fileshare import ShareServiceClient
from tests.conformance.files_lifecycle import files_lifecycle
from tests.conformance.files_openapi import METADATA, FilesAnswer, files_violations, operations
from tests.conformance.files_recorder import FilesRecorder, recorded_answers
from tests.conformance.recordings import ABSENT, EVIDENCE, scenarios
from tests.emulator.arm.conftest import RunningCloud, running_cloud

pytestmark = pytest.mark.skipif(not EVIDENCE.is_dir(), reason=ABSENT)

ACCOUNT: Final = "conformance"
GROUP: Final = "files"
WRONG_KEY: Final = "c3RyYW5nZXI="
DROPPED_BY_THE_RECORDER: Final = re.compile(
    r"header (date|x-ms-(client-)?request-id): missing|StartCopy header x-ms-copy-id: missing"
)
# What the local cloud refuses, and says so: a copy is complete before anybody could abort it.
REFUSED: Final = frozenset(("File_AbortCopy",))
# Operation, violation, why it is none.
REASONS: Final = (
    (
        "",
        "'(Lease|NoPendingCopy|CannotVerifyCopySource|FileInvalidPermission)[A-Za-z]*' is no ErrorCode",
        "the document's list of codes is open, and has none of leases, copies and permissions",
    ),
    (
        "File_UploadRangeFromURL 401",
        "(?i)(x-ms-)?copy-?source-?[a-z-]*: unknown",
        "later versions of the service say what is wrong with the source",
    ),
    (
        "Service_ListSharesSegment 403",
        "Error.AuthenticationErrorDetail: unknown",
        "Azure says why a signature is wrong; the document describes an error's message only",
    ),
    (
        "(File|Share)_BreakLease",
        "x-ms-lease-id: missing",
        "who breaks a lease is not told its id: acquire, renew and change answer one",
    ),
    ("File_Download 200", "content-range: missing", "it is of an answer to a range"),
    (
        "S",
        "(?i)enable-?snapshot-?virtual-?directory-?access: unknown",
        "the document is of a version before the one that the client asks for",
    ),
    ("File_UploadRange", "content-md5: missing", "a range that is cleared has no bytes"),
    ("(Directory|File)_ForceCloseHandles", "x-ms-marker: missing", "it is there where handles are left"),
)
# Documented headers that no answer of ours has, and why.
NEVER: Final = {
    r"File_Download 200 content-range": "it is of an answer to a range",
    r"File_Download 200 x-ms-content-md5": "it is of an answer to a range",
    r"File_\w+ \d+ x-ms-copy-(completion-time|progress)": "a recorded answer of a copied file has none",
    r"File_\w+ \d+ x-ms-copy-status-description": "no copy fails after it was accepted",
    r"\w+_BreakLease \d+ x-ms-lease-id": "who breaks a lease is not told its id",
    r"\w+_ForceCloseHandles \d+ x-ms-marker": "no handles are left",
    r"Share_GetProperties \d+ x-ms-access-tier-transition-state": "a change of the tier is done at once",
    r"Share_GetProperties \d+ x-ms-share-(provisioned|next)-.*": "no account is of the premium kind",
    r"Share_GetStatistics \d+ (etag|last-modified)": "Azure's recorded answer has none",
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[FilesAnswer]]:
    """What the client got in the course of the script."""
    with running_cloud(tmp_path_factory.mktemp("files") / "cloud") as cloud:
        recorder = FilesRecorder(ACCOUNT)
        url = f"{cloud.connection.files_url}/{ACCOUNT}"
        options = {"retry_total": 0, "transport": recorder.transport}
        service, stranger = (
            ShareServiceClient(url, credential=key, **options) for key in (_key(cloud), WRONG_KEY)
        )
        files_lifecycle(service, stranger)
        recorder.close()
        yield recorder.answers


@pytest.fixture(scope="module")
def azures_own() -> frozenset[str]:
    """What Azure's recorded answers have that its document does not allow: no fault of ours."""
    recorded = recorded_answers(item for scenario in scenarios() for item in scenario.exchanges)
    found = {shape(answer, text) for answer in recorded for text in files_violations(answer)}
    return frozenset(text for text in found if not DROPPED_BY_THE_RECORDER.search(text))


def test_files_answers_are_what_the_document_allows(
    answers: list[FilesAnswer], azures_own: frozenset[str]
) -> None:
    found = {
        f"{answer.operation()} {answer.status} {text}"
        for answer in answers
        for text in files_violations(answer)
        if shape(answer, text) not in azures_own
    }
    unexplained = {text for text in found if not any(_explains(reason, text) for reason in REASONS)}
    assert not unexplained, "\n".join(sorted(unexplained))
    idle = [reason for reason in REASONS if not any(_explains(reason, text) for text in found)]
    assert not idle, f"explains nothing: {idle}"


def test_files_headers_are_each_answered_where_they_can_be(answers: list[FilesAnswer]) -> None:
    """Of a header that only some answers have, at least one has it; of every operation there is an answer."""
    declared: dict[str, set[str]] = defaultdict(set)
    seen: dict[str, set[str]] = defaultdict(set)
    succeeded = [answer for answer in answers if answer.status < 400]
    assert {answer.operation() for answer in succeeded} == operations() - REFUSED
    for answer in succeeded:
        node = answer.declared()
        assert node is not None
        name = f"{answer.operation()} {answer.status}"
        declared[name] |= {header.lower() for header in node.schema.get("headers", ())}
        seen[name] |= {METADATA if header.startswith(METADATA) else header for header in answer.headers}
    unseen = {f"{name} {header}" for name in declared for header in declared[name] - seen[name]}
    unexplained = {text for text in unseen if not any(re.fullmatch(known, text) for known in NEVER)}
    assert not unexplained, "\n".join(sorted(unexplained))
    idle = [known for known in NEVER if not any(re.fullmatch(known, text) for text in unseen)]
    assert not idle, f"explains nothing: {idle}"


FAULTS: Final = (
    ("Service_ListSharesSegment", b"</Etag>", b"</Etag><New />", "Share.Properties.New: unknown"),
    ("Service_ListSharesSegment", b"<Quota>6", b"<Quota>six", "Quota: 'six' is no"),
    ("Service_ListSharesSegment", b"<LeaseState>", b"<LeaseState>un", "is not one of available"),
    ("Service_ListSharesSegment", b"<Name>", b"<Name /><Name>", "Share.Name: more than one"),
    ("Service_ListSharesSegment", b"<NextMarker", b"<Prefix", "NextMarker: required, missing"),
    ("Service_ListSharesSegment", b" ServiceEndpoint=", b" Endpoint=", "@Endpoint: unknown"),
    ("Service_ListSharesSegment", b"Shares>", b"Entries>", "EnumerationResults.Entries: unknown"),
    ("Share_GetAccessPolicy", b"SignedIdentifier>", b"Identifier>", "SignedIdentifiers.Identifier: unknown"),
    ("Share_GetAccessPolicy", b"<Start>", b"<Start>x", "is no date-time"),
    ("Share_GetStatistics", b"ShareStats>", b"Stats>", "Stats: is not ShareStats"),
)


@pytest.mark.parametrize(("operation", "right", "wrong", "said"), FAULTS)
def test_a_fault_in_xml_is_seen(
    answers: list[FilesAnswer], operation: str, right: bytes, wrong: bytes, said: str
) -> None:
    of_it = [item for item in answers if item.operation() == operation and right in (item.body or b"")]
    faulty = replace(of_it[0], body=(of_it[0].body or b"").replace(right, wrong))
    assert any(said in text for text in files_violations(faulty))


def test_a_fault_in_a_header_or_status_is_seen(
    answers: list[FilesAnswer], azures_own: frozenset[str]
) -> None:
    answer = next(item for item in answers if item.operation() == "File_GetProperties")
    for name, value in (
        ("content-length", "many"),
        ("last-modified", "2024-01-01T00:00:00Z"),
        ("x-ms-file-change-time", "yesterday"),
        ("x-ms-lease-state", "lent"),
        ("x-ms-new", "1"),
        ("x-ms-server-encrypted", "yes"),
        ("etag", None),
    ):
        headers = {key: item for key, item in {**answer.headers, name: value}.items() if item is not None}
        texts = [shape(answer, text) for text in files_violations(replace(answer, headers=headers))]
        assert any(name in text and text not in azures_own for text in texts), name
    assert list(files_violations(replace(answer, status=204))) == ["status 204 is not declared"]


def shape(answer: FilesAnswer, violation: str) -> str:
    """A violation whatever the numbers are; what is missing, of the operation that it is missing in."""
    text = re.sub(r"\d", "0", violation)
    return f"{answer.operation()} {text}" if text.endswith("missing") else text


def _explains(reason: tuple[str, str, str], text: str) -> bool:
    operation, violation, _ = reason
    return bool(re.match(operation, text) and re.search(violation, text))


def _key(cloud: RunningCloud) -> str:
    cloud.resources().resource_groups.create_or_update(GROUP, {"location": "eastus"})
    accounts = cloud.storage().storage_accounts
    body = {"location": "eastus", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}
    accounts.begin_create(GROUP, ACCOUNT, body).result()
    path = f"{cloud.groups_path}/{GROUP}/providers/Microsoft.Storage/storageAccounts/{ACCOUNT}/listKeys"
    with cloud.http() as http:
        answer = http.post(path, params={"api-version": "2023-01-01"}).raise_for_status()
        return str(answer.json()["keys"][0]["value"])
