"""One container app: reads and changes it. `readiness.py` owns waiting for a revision."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from azure.core.exceptions import ResourceNotFoundError

from remora.azure.app.scale import Scale, scale_document
from remora.azure.app.state import (
    AppState,
    EnvironmentValue,
    MountedShare,
    Replica,
    Revision,
    app_state_of,
    replica_of,
    revision_of,
)
from remora.azure.app.traffic import MULTIPLE, Traffic
from remora.azure.failures import explained
from remora.azure.profile import Clients
from remora.errors import DeploymentNotFound
from remora.project.api_keys import parse_api_keys

API_KEY_SECRET = "remora-api-key"  # noqa: S105 - the secret's name
API_KEY_VARIABLE = "REMORA_API_KEY"
ADMIN_KEY_SECRET = "remora-admin-key"  # noqa: S105 - the secret's name
ADMIN_KEY_VARIABLE = "REMORA_ADMIN_KEY"
SECRETS_VARIABLE = "REMORA_SECRETS"  # gets a new value at every change of a secret

Json = dict[str, Any]


class ContainerApp:
    """A container app by name; every method asks the cloud again."""

    def __init__(self, clients: Clients, group: str, name: str) -> None:
        self.name = name
        self.group = group
        self.clients = clients
        self._fence: Callable[[], None] = lambda: None

    def __repr__(self) -> str:
        return f"ContainerApp({self.group!r}, {self.name!r})"

    @property
    def subscription_id(self) -> str:
        """The subscription of the app."""
        return self.clients.subscription_id

    def other(self, subscription_id: str, group: str, name: str) -> ContainerApp:
        """Another app of the same cloud."""
        return ContainerApp(self.clients.for_subscription(subscription_id), group, name)

    def fenced(self, fence: Callable[[], None]) -> ContainerApp:
        """The same app, which calls `fence` before every change; `fence` raises to prevent it."""
        app = ContainerApp(self.clients, self.group, self.name)
        app._fence = fence
        return app

    def exists(self) -> bool:
        """Whether the cloud has an app of this name in the group."""
        try:
            self.read()
        except DeploymentNotFound:
            return False
        return True

    def read(self) -> AppState:
        """The app as it is now. Raises DeploymentNotFound."""
        try:
            with explained(f"reading container app {self.name!r}"):
                properties: Json = self._apps.get(self.group, self.name).as_dict()["properties"]
        except DeploymentNotFound as error:
            raise DeploymentNotFound(
                f"container app {self.name!r} is not in resource group {self.group!r}: it was deleted, or"
                " never created",
                hint="create it with: remora up",
            ) from error
        return app_state_of(properties)

    def mounted_share(self, state: AppState, storage: str) -> MountedShare | None:
        """The SMB share behind a storage of the app's environment; None if there is none."""
        parts = state.environment_id.strip("/").split("/")
        group, environment = parts[3], parts[-1]
        operations: Any = self.clients.apps.managed_environments_storages
        with explained(f"reading storage {storage!r} of environment {environment!r}"):
            try:
                document: Json = operations.get(group, environment, storage).as_dict()
            except ResourceNotFoundError:
                return None
        file = (document.get("properties") or {}).get("azureFile")
        return MountedShare(file["accountName"], file["shareName"]) if file else None

    def api_key(self) -> str:
        """The first client key of the container; "" if it has none."""
        keys = parse_api_keys(self.given(API_KEY_VARIABLE).value, API_KEY_VARIABLE)
        return next((key.secret for key in keys if not key.is_admin), "")

    def given(self, variable: str) -> EnvironmentValue:
        """The first container's value of an environment variable; empty if it has none."""
        variables = self.read().template["containers"][0].get("env") or ()
        found: Json = next((item for item in variables if item["name"] == variable), {})
        if secret := found.get("secretRef"):
            return EnvironmentValue(self.secrets().get(secret, ""), secret)
        return EnvironmentValue(str(found.get("value") or ""))

    def secrets(self) -> dict[str, str]:
        """Secret values by name."""
        with explained(f"reading the secrets of {self.name!r}"):
            document: Json = self._apps.list_secrets(self.group, self.name).as_dict()
        return {item["name"]: item.get("value") or "" for item in document.get("value") or ()}

    def sent_secrets(self) -> list[Json]:
        """The secrets in the form of a request, to keep them when the list is replaced."""
        with explained(f"reading the secrets of {self.name!r}"):
            known: Json = self._apps.list_secrets(self.group, self.name).as_dict()
        return [_sent(item) for item in known.get("value") or ()]

    def set_secret(self, name: str, value: str, *, variable: str) -> None:
        """Store a secret and give it to the containers as an environment variable, in a new revision.

        An update replaces the whole list of secrets, so it sends the existing ones again. A secret's value
        is not part of a revision: a second variable distinguishes the revision with the new value.
        """
        kept = [item for item in self.sent_secrets() if item["name"] != name]
        given = [{"name": variable, "secretRef": name}, {"name": SECRETS_VARIABLE, "value": uuid.uuid4().hex}]
        template = self.read().template
        for container in template["containers"]:
            others = [
                item
                for item in container.get("env") or ()
                if item["name"] not in (variable, SECRETS_VARIABLE)
            ]
            container["env"] = [*others, *given]
        template["revisionSuffix"] = ""
        secrets = [*kept, {"name": name, "value": value}]
        with explained(f"setting secret {name!r} of {self.name!r}"):
            body = {"properties": {"configuration": {"secrets": secrets}, "template": template}}
            self._apps_to_change.begin_update(self.group, self.name, body).result()

    def replace_secrets(self, values: Mapping[str, str]) -> None:
        """Set the whole list of secrets. Revisions that run keep the values that they started with."""
        secrets = [{"name": name, "value": value} for name, value in values.items()]
        with explained(f"setting the secrets of {self.name!r}"):
            body = {"properties": {"configuration": {"secrets": secrets}}}
            self._apps_to_change.begin_update(self.group, self.name, body).result()

    def log_token(self) -> str:
        """A short-lived token for the log stream."""
        with explained(f"requesting a log token of {self.name!r}"):
            document: Json = self._apps.get_auth_token(self.group, self.name).as_dict()
        return str(document["properties"]["token"])

    def roll_out(self, environment: Mapping[str, str | None], scale: Scale) -> str:
        """Change environment and scale, which creates a new revision, and return its name.

        A variable whose value is None is removed.
        """
        template = self.read().template
        container = template["containers"][0]
        kept = [variable for variable in container.get("env") or () if variable["name"] not in environment]
        given = {name: value for name, value in environment.items() if value is not None}
        container["env"] = kept + [{"name": name, "value": value} for name, value in given.items()]
        template["scale"] = scale_document(template.get("scale") or {}, scale, datetime.now(UTC))
        template["revisionSuffix"] = ""
        with explained(f"updating container app {self.name!r}"):
            body = {"properties": {"template": template}}
            self._apps_to_change.begin_update(self.group, self.name, body).result()
        return self.read().latest_revision

    def direct(self, traffic: Traffic) -> None:
        """Set the traffic weights, in Multiple mode; this creates no revision."""
        shares = [share.to_json() for share in traffic.shares]
        configuration = {"activeRevisionsMode": MULTIPLE, "ingress": {"traffic": shares}}
        with explained(f"directing the traffic of {self.name!r}"):
            body = {"properties": {"configuration": configuration}}
            self._apps_to_change.begin_update(self.group, self.name, body).result()

    def activate(self, revision: str) -> None:
        """Activate a revision; an active one is a no-op."""
        with explained(f"activating revision {revision!r}"):
            self._revisions_to_change.activate_revision(self.group, self.name, revision)

    def deactivate(self, revision: str) -> None:
        """Stop all replicas of a revision. It can be activated again."""
        with explained(f"deactivating revision {revision!r}"):
            self._revisions_to_change.deactivate_revision(self.group, self.name, revision)

    def revisions(self) -> list[Revision]:
        """All revisions, newest last."""
        with explained(f"listing the revisions of {self.name!r}"):
            found = [item.as_dict() for item in self._revisions.list_revisions(self.group, self.name)]
        return sorted(map(revision_of, found), key=lambda revision: revision.created)

    def revision(self, name: str) -> Revision:
        """One revision. Raises DeploymentNotFound."""
        with explained(f"reading revision {name!r}"):
            return revision_of(self._revisions.get_revision(self.group, self.name, name).as_dict())

    def replicas(self, revision: str) -> list[Replica]:
        """The replicas of a revision."""
        operations = self.clients.apps.container_apps_revision_replicas
        with explained(f"listing the replicas of {revision!r}"):
            document: Json = operations.list_replicas(self.group, self.name, revision).as_dict()
        return [replica_of(item) for item in document.get("value") or ()]

    def restart(self, revision: str) -> None:
        """Restart all replicas of a revision in place."""
        with explained(f"restarting revision {revision!r}"):
            self._revisions_to_change.restart_revision(self.group, self.name, revision)

    def is_stopped(self) -> bool:
        """Whether the app as a whole was stopped."""
        with explained(f"reading container app {self.name!r}"):
            properties: Json = self._apps.get(self.group, self.name).as_dict()["properties"]
        return bool(properties.get("runningStatus") == "Stopped")

    def stop(self) -> None:
        """Stop all replicas of all revisions; requests get 404. A stopped app is a no-op."""
        with explained(f"stopping container app {self.name!r}"):
            self._apps_to_change.begin_stop(self.group, self.name).result()

    def start(self) -> None:
        """Run the app as before it was stopped. A running app is a no-op."""
        with explained(f"starting container app {self.name!r}"):
            self._apps_to_change.begin_start(self.group, self.name).result()

    def delete(self) -> None:
        """Delete the app; a missing one is a no-op."""
        with explained(f"deleting container app {self.name!r}"), suppress(ResourceNotFoundError):
            self._apps_to_change.begin_delete(self.group, self.name).result()

    @property
    def _apps(self) -> Any:  # the SDK's types are not used here
        return self.clients.apps.container_apps

    @property
    def _revisions(self) -> Any:
        return self.clients.apps.container_apps_revisions

    @property
    def _apps_to_change(self) -> Any:
        self._fence()
        return self._apps

    @property
    def _revisions_to_change(self) -> Any:
        self._fence()
        return self._revisions


def _sent(secret: Json) -> Json:
    """A listed secret in the form of a request: its value, or its location in a key vault."""
    known = ("name", "value", "keyVaultUrl", "identity")
    return {key: secret[key] for key in known if secret.get(key) is not None}
