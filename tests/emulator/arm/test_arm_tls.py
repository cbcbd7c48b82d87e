"""`--tls`: HTTPS with an authority of our own, managed-identity sign-in, what a cloud says of itself."""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from azure.storage.fileshare import ShareClient
from tests.emulator.arm.conftest import StaticCredential
from tests.emulator.roles import assign_files_role

if TYPE_CHECKING:
    from tests.emulator.arm.conftest import RunningCloud

_VERSION = {"api-version": "2022-12-01"}
_SDK = """
import os, sys
from azure.identity import DefaultAzureCredential
from azure.mgmt.resource.subscriptions import SubscriptionClient
url = sys.argv[1]
client = SubscriptionClient(
    DefaultAzureCredential(exclude_environment_credential=True, exclude_cli_credential=True),
    base_url=url, credential_scopes=[url + "/.default"], connection_verify=sys.argv[2], retry_total=0)
print([subscription.subscription_id for subscription in client.subscriptions.list()])
"""


@pytest.fixture(scope="module")
def secure(
    tmp_path_factory: pytest.TempPathFactory, module_cloud_at: Callable[..., Any]
) -> Iterator[RunningCloud]:
    with module_cloud_at(tmp_path_factory.mktemp("tls") / "cloud", tls=True) as running:
        yield running


def https(secure: RunningCloud, token: str) -> httpx.Client:
    connection = secure.connection
    assert connection.ca_file is not None
    context = ssl.create_default_context(cafile=connection.ca_file)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=str(connection.arm_tls_url), verify=context, headers=headers)


def identity_token(secure: RunningCloud, header: str | None, **query: str) -> httpx.Response:
    headers = {} if header is None else {"X-IDENTITY-HEADER": header}
    return httpx.get(str(secure.connection.identity_endpoint), params=query, headers=headers)


def test_https_is_trusted_by_its_authority_alone(secure: RunningCloud) -> None:
    with https(secure, secure.connection.token) as client:
        assert client.get("/subscriptions", params=_VERSION).status_code == 200
        localhost = str(secure.connection.arm_tls_url).replace("127.0.0.1", "localhost")
        assert str(client.build_request("GET", localhost).url) == localhost
    with httpx.Client() as strangers, pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        strangers.get(f"{secure.connection.arm_tls_url}/healthz")


def test_the_certificates_are_private_and_kept(secure: RunningCloud) -> None:
    from containerapps_emulator.tls import certificates

    authority, server = secure.folder / "ca.pem", secure.folder / "server.pem"
    before = (authority.read_bytes(), server.read_bytes())
    assert authority.stat().st_mode & 0o777 == server.stat().st_mode & 0o777 == 0o600
    assert b"PRIVATE KEY" not in before[0]
    certificates(secure.folder)
    assert (authority.read_bytes(), server.read_bytes()) == before
    server.unlink()
    certificates(secure.folder)
    assert authority.read_bytes() != before[0]
    authority.write_bytes(before[0])
    server.write_bytes(before[1])


def test_an_identity_token_reads_as_a_jwt_and_opens_arm(secure: RunningCloud) -> None:
    answer = identity_token(
        secure, secure.connection.identity_header, resource="https://x/", **{"api-version": "2019-08-01"}
    )
    token = answer.json()
    assert answer.status_code == 200
    assert (token["resource"], token["token_type"]) == ("https://x/", "Bearer")
    assert token["expires_on"].isdigit()
    parts = [base64.urlsafe_b64decode(part + "==") for part in token["access_token"].split(".")]
    claims = json.loads(parts[1])
    assert {"tid", "oid", "appid", "xms_mirid", "exp"} <= claims.keys()
    with https(secure, token["access_token"]) as client:
        assert client.get("/subscriptions", params=_VERSION).status_code == 200
    with https(secure, token["access_token"][:-2] + "xx") as client:
        assert client.get("/subscriptions", params=_VERSION).status_code == 401


@pytest.mark.parametrize(
    ("header", "query", "status"),
    [(None, {"resource": "x"}, 401), ("wrong", {"resource": "x"}, 401), ("right", {}, 400)],
)
def test_identity_requests_that_are_refused(
    secure: RunningCloud, header: str | None, query: dict[str, str], status: int
) -> None:
    given = secure.connection.identity_header if header == "right" else header
    assert identity_token(secure, given, **query).status_code == status


def test_the_cloud_says_where_everything_is(secure: RunningCloud) -> None:
    with https(secure, "none") as client:
        recent = client.get("/metadata/endpoints", params={"api-version": "2022-09-01"}).json()
        older = client.get("/metadata/endpoints", params={"api-version": "2020-09-01"}).json()
    assert older == [recent]
    own = secure.connection.arm_tls_url
    assert recent["resourceManager"] == own
    assert recent["authentication"]["audiences"] == [own]
    assert recent["authentication"]["identityProvider"] == "AAD"
    told = json.dumps(recent)
    assert "microsoft" not in told.replace("microsoftGraph", "")


def test_the_sdks_own_credential_signs_in(secure: RunningCloud) -> None:
    """In a process of its own: the identity is told through the environment."""
    connection = secure.connection
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "IDENTITY_ENDPOINT": str(connection.identity_endpoint),
        "IDENTITY_HEADER": str(connection.identity_header),
    }
    command = [sys.executable, "-c", _SDK, str(connection.arm_tls_url), str(connection.ca_file)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert done.stdout.strip() == f"['{connection.subscription_id}']", done.stderr


def test_files_over_https_take_the_token_of_an_identity(secure: RunningCloud) -> None:
    """Microsoft's client sends a bearer token over HTTPS only."""
    secure.resources().resource_groups.create_or_update("files", {"location": "westeurope"})
    body = {"location": "westeurope", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}
    account = secure.storage().storage_accounts.begin_create("files", "bearer", body).result()
    with secure.http() as http:
        assign_files_role(http, account.id, secure.connection.principal_id)
    secure.storage().file_shares.create("files", "bearer", "adapters", {})
    token = identity_token(
        secure, secure.connection.identity_header, resource="https://storage.azure.com"
    ).json()["access_token"]
    share = ShareClient(
        f"{secure.connection.files_tls_url}/bearer",
        "adapters",
        credential=StaticCredential(token),
        token_intent="backup",
        connection_verify=secure.connection.ca_file,
    )
    share.create_directory("tone").upload_file("adapter.bin", b"0123456789" * 100_000)
    assert share.get_file_client("tone/adapter.bin").download_file().readall() == b"0123456789" * 100_000


def test_without_tls_nothing_of_it_is_there(tmp_path: Path, cloud_at: Callable[..., Any]) -> None:
    running: RunningCloud
    with cloud_at(tmp_path / "cloud") as running:
        assert running.connection.arm_tls_url is None
        assert not (running.folder / "ca.pem").exists()
