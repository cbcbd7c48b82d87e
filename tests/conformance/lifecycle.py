"""The whole life of an app, as one script for both kinds of Microsoft's clients."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any, Final

from azure.core.exceptions import ResourceNotFoundError
from tests.conformance.clients import Clients, done, listed

import remora

TEMPLATE: Final = Path(remora.__file__).parent / "project" / "template" / "inference.json"
GROUP: Final = "life"
SERVER: Final = (
    "import http.server as h, os\n"
    "class Answer(h.BaseHTTPRequestHandler):\n"
    "  def do_GET(self): self.send_response(200); self.end_headers(); self.wfile.write(b'hello')\n"
    "  def log_message(self, *_): print('asked', flush=True)\n"
    "h.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), Answer).serve_forever()\n"
)
PARAMETERS: Final = {
    "defaultCommands": {"value": [f'exec python3 -c "{SERVER}"']},
    "maximumInstanceCount": {"value": 1},
    "location": {"value": None},
    "minReplicas": {"value": 1},
    "apiKey": {"value": "s3cret"},
}
SETTLE_SECONDS: Final = 20


async def lifecycle(clients: Clients) -> None:
    """Provision, look at everything, use it, change it, remove it."""
    await _subscription(clients)
    outputs = await _deploy(clients)
    names = {name.upper(): item["value"] for name, item in outputs.items()}
    account, share, app = (
        names["STORAGE_ACCOUNT_NAME"],
        names["FILE_SHARE_NAME"],
        names["ACA_APP_NAME"],
    )
    await _storage(clients, account, share)
    await _environment(clients)
    await _app(clients, app)
    await _revisions(clients, app)
    await _remove(clients, app)


async def _subscription(clients: Clients) -> None:
    (subscription,) = await listed(clients.subscriptions.subscriptions.list())
    await done(clients.subscriptions.subscriptions.get(subscription.subscription_id))
    locations = await listed(clients.subscriptions.subscriptions.list_locations(subscription.subscription_id))
    assert "eastus" in [location.name for location in locations]
    assert await listed(clients.subscriptions.tenants.list())
    assert await listed(clients.resources.providers.list())
    provider = await done(clients.resources.providers.register("Microsoft.App"))
    assert provider.registration_state == "Registered"
    await done(clients.resources.providers.get("Microsoft.App"))


async def _deploy(clients: Clients) -> dict[str, Any]:
    groups, deployments = clients.resources.resource_groups, clients.deployments.deployments
    assert not await done(groups.check_existence(GROUP))
    await done(groups.create_or_update(GROUP, {"location": "eastus", "tags": {"made": "here"}}))
    assert await done(groups.check_existence(GROUP))
    await done(groups.update(GROUP, {"tags": {"made": "there"}}))
    assert (await done(groups.get(GROUP))).tags == {"made": "there"}
    assert GROUP in [group.name for group in await listed(groups.list())]
    properties = {
        "template": json.loads(TEMPLATE.read_text()),
        "parameters": PARAMETERS,
        "mode": "Incremental",
    }
    validated = await done(deployments.begin_validate(GROUP, "first", {"properties": properties}))
    assert validated.properties.provisioning_state == "Succeeded"
    expected = await done(deployments.begin_what_if(GROUP, "first", {"properties": properties}))
    assert {change.change_type for change in expected.properties.changes} == {"Create"}
    await done(deployments.begin_create_or_update(GROUP, "first", {"properties": properties}))
    shown = await done(deployments.get(GROUP, "first"))
    assert shown.properties.provisioning_state == "Succeeded"
    assert "s3cret" not in json.dumps(shown.as_dict())
    assert await listed(deployments.list_by_resource_group(GROUP))
    operations = await listed(clients.deployments.deployment_operations.list(GROUP, "first"))
    await done(clients.deployments.deployment_operations.get(GROUP, "first", operations[0].operation_id))
    assert (await done(deployments.export_template(GROUP, "first"))).template
    assert await listed(clients.resources.resources.list_by_resource_group(GROUP))
    assert await listed(clients.resources.resources.list())
    return dict(shown.properties.outputs)


async def _storage(clients: Clients, account: str, share: str) -> None:
    accounts, shares = clients.storage.storage_accounts, clients.storage.file_shares
    await done(accounts.get_properties(GROUP, account))
    assert await listed(accounts.list())
    assert await listed(accounts.list_by_resource_group(GROUP))
    taken = await done(
        accounts.check_name_availability({"name": account, "type": "Microsoft.Storage/storageAccounts"})
    )
    assert not taken.name_available
    await done(accounts.update(GROUP, account, {"tags": {"made": "here"}}))
    await done(accounts.regenerate_key(GROUP, account, {"keyName": "key2"}))
    listed_keys = (await done(accounts.list_keys(GROUP, account))).as_dict()["keys"]
    await done(clients.storage.file_services.get_service_properties(GROUP, account))
    await done(shares.get(GROUP, account, share))
    assert [item.name for item in await listed(shares.list(GROUP, account))] == [share]
    await _files(clients.share(account, share, listed_keys[0]["value"]))


async def _files(share: Any) -> None:
    content = bytes(range(256)) * 5_000  # more than one range
    await done(share.create_directory("models"))
    file = share.get_file_client("models/weights.bin")
    await done(file.upload_file(content, max_concurrency=2, validate_content=True))
    download = await done(file.download_file())
    assert await done(download.readall()) == content
    renamed = await done(file.rename_file("models/renamed.bin"))
    assert (await done(renamed.get_file_properties())).size == len(content)
    names = [item["name"] for item in await listed(share.list_directories_and_files("models"))]
    assert names == ["renamed.bin"]
    await done(renamed.delete_file())
    await done(share.close())


async def _environment(clients: Clients) -> None:
    environments = clients.apps.managed_environments
    (environment,) = await listed(environments.list_by_resource_group(GROUP))
    await done(environments.get(GROUP, environment.name))
    assert await listed(environments.list_by_subscription())
    storages = clients.apps.managed_environments_storages
    (storage,) = (await done(storages.list(GROUP, environment.name))).value
    shown = await done(storages.get(GROUP, environment.name, storage.name))
    assert "accountKey" not in json.dumps(shown.as_dict())


async def _app(clients: Clients, app: str) -> None:
    apps = clients.apps.container_apps
    shown = await done(apps.get(GROUP, app))
    assert shown.as_dict()["properties"]["configuration"]["ingress"]["fqdn"]
    assert await listed(apps.list_by_resource_group(GROUP))
    assert await listed(apps.list_by_subscription())
    secrets = await done(apps.list_secrets(GROUP, app))
    assert "s3cret" in json.dumps(secrets.as_dict())
    await done(apps.get_auth_token(GROUP, app))
    await done(apps.begin_stop(GROUP, app))
    await done(apps.begin_start(GROUP, app))
    try:
        await done(apps.get(GROUP, "nobody"))
    except ResourceNotFoundError as error:
        assert error.error.code == "ResourceNotFound"  # noqa: PT017 - works for both kinds of clients


async def _revisions(clients: Clients, app: str) -> None:
    revisions, replicas = (
        clients.apps.container_apps_revisions,
        clients.apps.container_apps_revision_replicas,
    )
    first = await _ready(clients, app)
    change = {"properties": {"configuration": {"ingress": {"allowInsecure": True}}}}
    await done(clients.apps.container_apps.begin_update(GROUP, app, change))
    assert len(await listed(revisions.list_revisions(GROUP, app))) == 1
    await done(revisions.get_revision(GROUP, app, first))
    (replica,) = (await done(replicas.list_replicas(GROUP, app, first))).value
    await done(replicas.get_replica(GROUP, app, first, replica.name))
    await done(revisions.restart_revision(GROUP, app, first))
    await done(revisions.deactivate_revision(GROUP, app, first))
    await done(revisions.activate_revision(GROUP, app, first))
    assert await _ready(clients, app) == first


async def _ready(clients: Clients, app: str) -> str:
    """Wait until the latest revision runs, and return its name."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline:
        shown = (await done(clients.apps.container_apps.get(GROUP, app))).as_dict()["properties"]
        name = str(shown["latestRevisionName"])
        revision = await done(clients.apps.container_apps_revisions.get_revision(GROUP, app, name))
        if revision.as_dict()["properties"]["runningState"] == "Running":
            return name
        await asyncio.sleep(0.05)
    raise AssertionError("no revision got ready in time")


async def _remove(clients: Clients, app: str) -> None:
    await done(clients.apps.container_apps.begin_delete(GROUP, app))
    await done(clients.deployments.deployments.begin_delete(GROUP, "first"))
    await done(clients.resources.resource_groups.begin_delete(GROUP))
    assert not await done(clients.resources.resource_groups.check_existence(GROUP))
