"""Jobs, certificates, custom domains and identities of Container Apps, through Microsoft's own clients."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.identity import CredentialUnavailableError, ManagedIdentityCredential
from azure.mgmt.appcontainers import ContainerAppsAPIClient
from azure.mgmt.resource.resources import ResourceManagementClient
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from tests.emulator.arm.conftest import AllowHttp, RunningCloud, StaticCredential
from tests.emulator.roles import assign_files_role

DEADLINE_SECONDS = 300
GROUP = "work"
HOST = "chat.example.com"
PASSWORD = "open"
IDENTITIES = "providers/Microsoft.ManagedIdentity/userAssignedIdentities"


@pytest.fixture(scope="module")
def cloud(
    module_cloud_at: Callable[..., AbstractContextManager[RunningCloud]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RunningCloud]:
    with module_cloud_at(tmp_path_factory.mktemp("cloud") / "cloud") as running:
        running.resources().resource_groups.create_or_update(GROUP, {"location": "eastus"})
        apps = client(running)
        apps.managed_environments.begin_create_or_update(
            GROUP, "env", {"location": "eastus", "properties": {}}
        ).result()
        yield running


@pytest.fixture
def apps(cloud: RunningCloud) -> Any:
    return client(cloud)


def client(cloud: RunningCloud, credential: Any = None) -> Any:
    url = cloud.connection.arm_url
    return ContainerAppsAPIClient(
        credential or StaticCredential(cloud.connection.token),
        cloud.connection.subscription_id,
        base_url=url,
        credential_scopes=[f"{url}/.default"],
        per_call_policies=[AllowHttp()],
        polling_interval=0,
        retry_total=0,
    )


def environment_id(cloud: RunningCloud) -> str:
    group = f"/subscriptions/{cloud.connection.subscription_id}/resourceGroups/{GROUP}"
    return f"{group}/providers/Microsoft.App/managedEnvironments/env"


def user(cloud: RunningCloud) -> str:
    """The id of a user-assigned identity."""
    return f"/subscriptions/{cloud.connection.subscription_id}/resourceGroups/{GROUP}/{IDENTITIES}/me1"


def job(cloud: RunningCloud, script: str, **configuration: Any) -> dict[str, Any]:
    container = {"name": "main", "image": "python:3.11", "command": ["/bin/bash", "-c", script]}
    return {
        "location": "eastus",
        "properties": {
            "environmentId": environment_id(cloud),
            "configuration": {"triggerType": "Manual", "replicaTimeout": 3000, **configuration},
            "template": {"containers": [container]},
        },
    }


def app(cloud: RunningCloud, name: str, domains: list[dict[str, str]], **more: Any) -> Any:
    container = {"name": "main", "image": "python:3.11", "command": ["sleep", "100000"]}
    ingress = {"external": True, "targetPort": 80, "customDomains": domains}
    properties = {
        "environmentId": environment_id(cloud),
        "configuration": {"ingress": ingress},
        "template": {"containers": [container], "scale": {"minReplicas": 0}},
    }
    body = {"location": "eastus", "properties": properties, **more}
    return client(cloud).container_apps.begin_create_or_update(GROUP, name, body).result()


def until_ended(apps: Any, name: str, execution: str) -> Any:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while (found := apps.job_execution(GROUP, name, execution)).properties.status == "Running":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def test_the_life_of_a_job(cloud: RunningCloud, apps: Any) -> None:
    secrets = [{"name": "key", "value": "open sesame"}]
    made = apps.jobs.begin_create_or_update(GROUP, "train", job(cloud, "exit 3", secrets=secrets)).result()
    assert (made.properties.provisioning_state, made.properties.running_state) == ("Succeeded", "Ready")
    assert made.properties.configuration.manual_trigger_config.parallelism == 1
    assert [item.value for item in apps.jobs.list_secrets(GROUP, "train").value] == ["open sesame"]
    first = apps.jobs.begin_start(GROUP, "train").result()
    failed = until_ended(apps, "train", first.name)
    assert (failed.properties.status, failed.properties.reason) == ("Failed", "BackoffLimitExceeded")

    change = {"properties": {"template": job(cloud, "echo done; sleep $WAIT")["properties"]["template"]}}
    changed = apps.jobs.begin_update(GROUP, "train", change).result()
    assert changed.properties.template.containers[0].command[-1].startswith("echo done")
    override = [{"name": "main", "image": "python:3.11", "command": ["/bin/bash", "-c", "sleep 100000"]}]
    long = apps.jobs.begin_start(GROUP, "train", {"containers": override}).result()
    apps.jobs.begin_stop_execution(GROUP, "train", long.name).result()
    assert apps.job_execution(GROUP, "train", long.name).properties.status == "Stopped"
    other = apps.jobs.begin_start(GROUP, "train", {"containers": override}).result()
    stopped = apps.jobs.begin_stop_multiple_executions(GROUP, "train").result().value
    assert [(item.name, item.properties.status) for item in stopped] == [(other.name, "Stopped")]

    path = f"{cloud.groups_path}/{GROUP}/providers/Microsoft.App/jobs/train"
    with cloud.http() as http:  # as the Azure CLI asks
        begun = http.post(f"{path}/start?api-version=2025-01-01", json={"containers": override})
        assert (begun.status_code, set(begun.json())) == (202, {"id", "name"})
        third = begun.json()["name"]
        assert http.post(f"{path}/stop/{third}?api-version=2025-01-01").status_code == 200
    assert apps.job_execution(GROUP, "train", third).properties.status == "Stopped"

    listed = [item.name for item in apps.jobs_executions.list(GROUP, "train")]
    assert listed == [third, other.name, long.name, first.name]
    assert [item.name for item in apps.jobs.list_by_resource_group(GROUP)] == ["train"]
    assert [item.name for item in apps.jobs.list_by_subscription()] == ["train"]
    suspended = apps.jobs.begin_suspend(GROUP, "train").result()
    assert suspended.properties.running_state == "Suspended"
    assert apps.jobs.begin_resume(GROUP, "train").result().properties.running_state == "Ready"
    with pytest.raises(HttpResponseError) as refusal:
        apps.managed_environments.begin_delete(GROUP, "env").result()
    assert refusal.value.error.code == "ManagedEnvironmentHasContainerApps"
    apps.jobs.begin_delete(GROUP, "train").result()
    with pytest.raises(ResourceNotFoundError):
        apps.jobs.get(GROUP, "train")


def test_the_logs_of_an_execution_are_files(cloud: RunningCloud, apps: Any) -> None:
    apps.jobs.begin_create_or_update(GROUP, "talk", job(cloud, "echo so it says")).result()
    execution = apps.jobs.begin_start(GROUP, "talk").result()
    assert until_ended(apps, "talk", execution.name).properties.status == "Succeeded"
    (log,) = (cloud.folder / "job-logs" / GROUP / "talk").glob(f"{execution.name}-*@main.log")
    assert log.read_text().endswith(" so it says\n")


def certificate(host: str) -> bytes:
    """A PFX of a certificate for that host, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, SHA256())
    )
    return serialize_key_and_certificates(
        b"it", key, signed, None, BestAvailableEncryption(PASSWORD.encode())
    )


def upload(apps: Any, name: str, data: bytes, password: str = PASSWORD) -> Any:
    value = base64.b64encode(data).decode()
    body = {"location": "eastus", "properties": {"value": value, "password": password}}
    return apps.certificates.create_or_update(GROUP, "env", name, body)


def test_a_certificate_is_bound_to_a_domain(cloud: RunningCloud, apps: Any) -> None:
    kind = {"name": "mine", "type": "Microsoft.App/managedEnvironments/certificates"}
    assert apps.namespaces.check_name_availability(GROUP, "env", kind).name_available
    uploaded = upload(apps, "mine", certificate(HOST))
    assert uploaded.properties.subject_name == f"CN={HOST}"
    assert uploaded.properties.subject_alternative_names == [HOST]
    assert uploaded.properties.valid
    assert uploaded.properties.value is None
    taken = apps.namespaces.check_name_availability(GROUP, "env", kind)
    assert (taken.name_available, taken.reason) == (False, "AlreadyExists")

    domain = {"name": HOST, "bindingType": "SniEnabled", "certificateId": uploaded.id}
    app(cloud, "web", [domain])
    (shown,) = apps.container_apps.get(GROUP, "web").properties.configuration.ingress.custom_domains
    assert (shown.name, shown.binding_type, shown.certificate_id) == (HOST, "SniEnabled", uploaded.id)
    analysis = apps.container_apps.list_custom_host_name_analysis(GROUP, "web", custom_hostname=HOST)
    assert (analysis.custom_domain_verification_test, analysis.has_conflict_on_managed_environment) == (
        "Passed",
        False,
    )
    app(cloud, "other", [])
    conflict = apps.container_apps.list_custom_host_name_analysis(GROUP, "other", custom_hostname=HOST)
    assert conflict.conflicting_container_app_resource_id.endswith("/web")

    with pytest.raises(HttpResponseError) as used:
        apps.certificates.delete(GROUP, "env", "mine")
    assert used.value.error.code == "CertificateInUse"
    assert apps.certificates.update(GROUP, "env", "mine", {"tags": {"a": "b"}}).tags == {"a": "b"}
    assert [item.name for item in apps.certificates.list(GROUP, "env")] == ["mine"]
    apps.container_apps.begin_delete(GROUP, "web").result()
    apps.certificates.delete(GROUP, "env", "mine")
    assert list(apps.certificates.list(GROUP, "env")) == []


def test_a_managed_certificate_needs_an_app_with_its_domain(cloud: RunningCloud, apps: Any) -> None:
    body = {"location": "eastus", "properties": {"subjectName": HOST, "domainControlValidation": "TXT"}}
    with pytest.raises(HttpResponseError) as refusal:
        apps.managed_certificates.begin_create_or_update(GROUP, "env", "auto", body).result()
    assert refusal.value.error.code == "RequireCustomHostnameInEnvironment"
    app(cloud, "site", [{"name": HOST, "bindingType": "Disabled"}])
    made = apps.managed_certificates.begin_create_or_update(GROUP, "env", "auto", body).result()
    assert (made.properties.provisioning_state, made.properties.subject_name) == ("Succeeded", HOST)
    assert made.properties.validation_token
    assert apps.managed_certificates.get(GROUP, "env", "auto").id == made.id
    assert [item.name for item in apps.managed_certificates.list(GROUP, "env")] == ["auto"]
    apps.managed_certificates.delete(GROUP, "env", "auto")
    apps.container_apps.begin_delete(GROUP, "site").result()


@pytest.mark.parametrize(
    ("domain", "code"),
    [
        ({"name": "not a host"}, "WebhookInvalidParameterValue"),
        ({"name": HOST, "bindingType": "Sometimes"}, "ContainerAppInvalidSchema"),
        ({"name": HOST, "bindingType": "SniEnabled"}, "CertificateMissing"),
        ({"name": HOST, "certificateId": "/elsewhere/certificates/x"}, "InvalidCertificateId"),
        ({"name": HOST, "certificateId": "{env}/certificates/none"}, "CertificateNotFound"),
    ],
)
def test_a_domain_that_cannot_be_is_refused(cloud: RunningCloud, domain: dict[str, str], code: str) -> None:
    given = {name: value.replace("{env}", environment_id(cloud)) for name, value in domain.items()}
    with pytest.raises(HttpResponseError) as refusal:
        app(cloud, "bad", [given])
    assert refusal.value.error.code == code


def test_what_is_no_certificate_is_refused(cloud: RunningCloud, apps: Any) -> None:
    for data, password in ((b"nothing", ""), (certificate(HOST), "wrong")):
        with pytest.raises(HttpResponseError) as refusal:
            upload(apps, "bad", data, password)
        assert refusal.value.error.code == "InvalidCertificate"


@pytest.fixture(scope="module")
def identity(cloud: RunningCloud, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], Any]:
    """What a program of a job with two identities is told, and the job."""
    file = cloud.folder / "jobs" / GROUP / "who" / "home" / "environment"
    body = job(cloud, "env > $HOME/environment")
    kinds = {"type": "SystemAssigned, UserAssigned", "userAssignedIdentities": {user(cloud): {}}}
    apps = client(cloud)
    made = apps.jobs.begin_create_or_update(GROUP, "who", {**body, "identity": kinds}).result()
    execution = apps.jobs.begin_start(GROUP, "who").result()
    assert until_ended(apps, "who", execution.name).properties.status == "Succeeded"
    lines = (line.partition("=") for line in Path(file).read_text().splitlines())
    return {name: value for name, _, value in lines}, made


@pytest.fixture
def in_the_replica(identity: tuple[dict[str, str], Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):
        monkeypatch.setenv(name, identity[0][name])
    return identity[1]


def test_a_program_gets_a_token_that_arm_accepts(cloud: RunningCloud, in_the_replica: Any) -> None:
    with ManagedIdentityCredential() as credential:
        groups = ResourceManagementClient(
            credential,
            cloud.connection.subscription_id,
            base_url=cloud.connection.arm_url,
            credential_scopes=["https://management.azure.com/.default"],
            per_call_policies=[AllowHttp()],
        )
        assert [group.name for group in groups.resource_groups.list()] == [GROUP]


def test_a_program_gets_a_token_that_files_accept(cloud: RunningCloud, in_the_replica: Any) -> None:
    account = {"sku": {"name": "Standard_LRS"}, "kind": "StorageV2", "location": "eastus"}
    created = cloud.storage().storage_accounts.begin_create(GROUP, "identified", account).result()
    shown = in_the_replica.identity.user_assigned_identities[user(cloud)]
    with cloud.http() as http:
        path = f"{user(cloud)}?api-version=2023-01-31"
        made = http.put(path, json={"location": "eastus"})
        assert (made.status_code, http.get(path).json()) == (201, made.json())
    client_id = made.json()["properties"]["clientId"]
    assert (shown.client_id, shown.principal_id) == (client_id, made.json()["properties"]["principalId"])
    # The SDK sends tokens over HTTPS only, and the files are served over HTTP: so this asks itself.
    url = f"{cloud.connection.files_url}/identified/models?restype=share"
    with ManagedIdentityCredential(client_id=client_id) as credential:
        token = credential.get_token("https://storage.azure.com/.default").token
        of_arm = credential.get_token("https://management.azure.com/.default").token
    asked = {"Authorization": f"Bearer {token}", "x-ms-version": "2025-05-05"}
    intended = {**asked, "x-ms-file-request-intent": "backup"}
    refused = httpx.put(url, headers=intended)
    assert (refused.status_code, refused.headers["x-ms-error-code"]) == (
        403,
        "AuthorizationPermissionMismatch",
    )
    with cloud.http() as http:
        assign_files_role(http, created.id, shown.principal_id)
    assert httpx.put(url, headers=intended).status_code == 201
    assert httpx.get(url, headers=intended).status_code == 200
    for headers, code in (
        (asked, "MissingRequiredHeader"),
        ({**intended, "Authorization": f"Bearer {of_arm}"}, "InvalidAuthenticationInfo"),
        (
            {**intended, "Authorization": f"Bearer {cloud.connection.token}"},
            "AuthorizationPermissionMismatch",
        ),
    ):
        assert httpx.get(url, headers=headers).headers["x-ms-error-code"] == code


def test_an_unknown_identity_is_refused_in_azures_words(in_the_replica: Any) -> None:
    unknown = ManagedIdentityCredential(client_id="00000000-0000-0000-0000-000000000001")
    with (
        unknown,
        pytest.raises(CredentialUnavailableError, match="Unable to load the proper Managed Identity"),
    ):
        unknown.get_token("https://storage.azure.com/.default")


def test_another_secret_gets_no_token(in_the_replica: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_HEADER", "guessed")
    with (
        ManagedIdentityCredential() as credential,
        pytest.raises(ClientAuthenticationError, match="X-IDENTITY"),
    ):
        credential.get_token("https://storage.azure.com/.default")


def test_a_program_without_identity_is_told_of_no_endpoint(cloud: RunningCloud, apps: Any) -> None:
    apps.jobs.begin_create_or_update(GROUP, "nobody", job(cloud, "env | grep -c IDENTITY; true")).result()
    execution = apps.jobs.begin_start(GROUP, "nobody").result()
    assert until_ended(apps, "nobody", execution.name).properties.status == "Succeeded"
    (log,) = (cloud.folder / "job-logs" / GROUP / "nobody").glob(f"{execution.name}-*@main.log")
    assert log.read_text().endswith(" 0\n")
