"""One container app: what it runs now, a new revision of it, and waiting until that one is ready."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from azure.core.exceptions import ResourceNotFoundError

from remora.azure.failures import explained
from remora.azure.profile import Clients
from remora.azure.traffic import MULTIPLE, Traffic, traffic_of
from remora.errors import DeploymentNotFound, NotReady
from remora.project.api_keys import parse_api_keys

API_KEY_SECRET = "remora-api-key"  # noqa: S105 - the secret's name
API_KEY_VARIABLE = "REMORA_API_KEY"
ADMIN_KEY_SECRET = "remora-admin-key"  # noqa: S105 - the secret's name
ADMIN_KEY_VARIABLE = "REMORA_ADMIN_KEY"
SECRETS_VARIABLE = "REMORA_SECRETS"  # another value for every change of a secret

_FAILED_STATES = frozenset({"Failed", "ActivationFailed", "Degraded"})

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Replica:
    """One running copy of a revision. `container_id` is another after every start of its container."""

    name: str
    state: str
    details: str
    container: str
    container_id: str


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision and how it is doing. `state` is Azure's runningState, `health` its healthState.

    `fqdn` is its own address, whatever traffic it gets.
    """

    name: str
    active: bool
    state: str
    health: str
    details: str
    replicas: int
    created: str
    fqdn: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    min_replicas: int = 0
    max_replicas: int = 10

    @property
    def failed(self) -> bool:
        """Whether the cloud has given it up: waiting longer is no use."""
        return self.state in _FAILED_STATES


@dataclass(frozen=True, slots=True)
class AppState:
    """What the app's document says.

    `environment` (plain values only, never secrets), scale, image and template are those of the latest
    revision, which need not be the serving one.
    `provisioning` is ARM's state of its last change, with ARM's errors where it has any.
    """

    fqdn: str
    latest_revision: str
    latest_ready_revision: str
    provisioning: str
    environment: Mapping[str, str]
    min_replicas: int
    max_replicas: int
    image: str
    event_stream: str
    template: Json
    traffic: Traffic
    workload_profile: str
    environment_id: str

    @property
    def command(self) -> tuple[str, ...]:
        """What its first container runs; nothing where that is the image's affair."""
        container = self.template["containers"][0]
        return (*(container.get("command") or ()), *(container.get("args") or ()))

    @property
    def serving_revision(self) -> str:
        """The revision with most of the traffic; "" while none has ever been ready."""
        return self.traffic.serving(self.latest_ready_revision)


@dataclass(frozen=True, slots=True)
class MountedShare:
    """A file share that an environment's storage stands for."""

    account: str
    name: str

    def __str__(self) -> str:
        return f"share {self.name!r} of storage account {self.account!r}"


@dataclass(frozen=True, slots=True)
class Given:
    """The value of an environment variable, and the secret that it is in; "" where it is in none."""

    value: str = field(repr=False)
    secret: str = ""


class ContainerApp:
    """A container app by name; every method asks the cloud anew."""

    def __init__(self, clients: Clients, group: str, name: str) -> None:
        self.name = name
        self.group = group
        self._clients = clients

    def __repr__(self) -> str:
        return f"ContainerApp({self.group!r}, {self.name!r})"

    @property
    def subscription_id(self) -> str:
        """The subscription that it is in."""
        return self._clients.subscription_id

    def other(self, subscription_id: str, group: str, name: str) -> ContainerApp:
        """Another app of the same cloud."""
        return ContainerApp(self._clients.for_subscription(subscription_id), group, name)

    def exists(self) -> bool:
        """Whether the cloud has an app of this name in the group."""
        try:
            self.read()
        except DeploymentNotFound:
            return False
        return True

    def read(self) -> AppState:
        """The app as it is now. Raises DeploymentNotFound."""
        with explained(f"reading container app {self.name!r}"):
            properties: Json = self._apps.get(self.group, self.name).as_dict()["properties"]
        template = properties["template"]
        container = template["containers"][0]
        scale = template.get("scale") or {}
        configuration = properties.get("configuration") or {}
        return AppState(
            fqdn=(configuration.get("ingress") or {}).get("fqdn") or "",
            latest_revision=properties.get("latestRevisionName") or "",
            latest_ready_revision=properties.get("latestReadyRevisionName") or "",
            provisioning=_told(properties, "provisioningState", "deploymentErrors"),
            environment=_plain_variables(container),
            min_replicas=scale.get("minReplicas") or 0,
            max_replicas=scale.get("maxReplicas") or 10,
            image=container.get("image") or "",
            event_stream=properties.get("eventStreamEndpoint") or "",
            template=template,
            traffic=traffic_of(configuration),
            workload_profile=properties.get("workloadProfileName") or "",
            environment_id=properties.get("environmentId") or properties.get("managedEnvironmentId") or "",
        )

    def mounted_share(self, state: AppState, storage: str) -> MountedShare | None:
        """The SMB share behind a storage of the app's environment; None where it is none, or not there."""
        parts = state.environment_id.strip("/").split("/")
        group, environment = parts[3], parts[-1]
        operations: Any = self._clients.apps.managed_environments_storages
        with explained(f"reading storage {storage!r} of environment {environment!r}"):
            try:
                document: Json = operations.get(group, environment, storage).as_dict()
            except ResourceNotFoundError:
                return None
        file = (document.get("properties") or {}).get("azureFile")
        return MountedShare(file["accountName"], file["shareName"]) if file else None

    def api_key(self) -> str:
        """A key that clients may send, the first of those that the container has; "" where it has none."""
        keys = parse_api_keys(self.given(API_KEY_VARIABLE).value, API_KEY_VARIABLE)
        return next((key.secret for key in keys if not key.is_admin), "")

    def given(self, variable: str) -> Given:
        """What the first container gets as this environment variable; empty where it gets none."""
        variables = self.read().template["containers"][0].get("env") or ()
        found: Json = next((item for item in variables if item["name"] == variable), {})
        if secret := found.get("secretRef"):
            return Given(self.secrets().get(secret, ""), secret)
        return Given(str(found.get("value") or ""))

    def secrets(self) -> dict[str, str]:
        """Secret values by name."""
        with explained(f"reading the secrets of {self.name!r}"):
            document: Json = self._apps.list_secrets(self.group, self.name).as_dict()
        return {item["name"]: item.get("value") or "" for item in document.get("value") or ()}

    def sent_secrets(self) -> list[Json]:
        """The secrets in the form that is sent, to keep them where the list is replaced."""
        with explained(f"reading the secrets of {self.name!r}"):
            known: Json = self._apps.list_secrets(self.group, self.name).as_dict()
        return [_sent(item) for item in known.get("value") or ()]

    def set_secret(self, name: str, value: str, *, variable: str) -> None:
        """Keep a secret, and give it to the containers as an environment variable: that makes a new revision.

        The list of secrets is replaced as a whole, so those that are there are sent again. A secret's value
        is no part of a revision: a variable beside it tells one with the new value from the former one.
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
            self._apps.begin_update(self.group, self.name, body).result()

    def log_token(self) -> str:
        """A short-lived token for the log stream."""
        with explained(f"asking for a log token of {self.name!r}"):
            document: Json = self._apps.get_auth_token(self.group, self.name).as_dict()
        return str(document["properties"]["token"])

    def roll_out(self, environment: Mapping[str, str | None], *, min_replicas: int, max_replicas: int) -> str:
        """Change environment and scale, which makes a new revision, and return its name.

        A variable whose value is None is taken away.
        """
        template = self.read().template
        container = template["containers"][0]
        kept = [variable for variable in container.get("env") or () if variable["name"] not in environment]
        given = {name: value for name, value in environment.items() if value is not None}
        container["env"] = kept + [{"name": name, "value": value} for name, value in given.items()]
        template["scale"] = {
            **(template.get("scale") or {}),
            "minReplicas": min_replicas,
            "maxReplicas": max_replicas,
        }
        template["revisionSuffix"] = ""
        with explained(f"updating container app {self.name!r}"):
            body = {"properties": {"template": template}}
            self._apps.begin_update(self.group, self.name, body).result()
        return self.read().latest_revision

    def direct(self, traffic: Traffic) -> None:
        """Let traffic go by these weights, in Multiple mode; makes no revision."""
        shares = [share.to_json() for share in traffic.shares]
        configuration = {"activeRevisionsMode": MULTIPLE, "ingress": {"traffic": shares}}
        with explained(f"directing the traffic of {self.name!r}"):
            body = {"properties": {"configuration": configuration}}
            self._apps.begin_update(self.group, self.name, body).result()

    def activate(self, revision: str) -> None:
        """Let a revision run; a running one stays as it is."""
        with explained(f"activating revision {revision!r}"):
            self._revisions.activate_revision(self.group, self.name, revision)

    def deactivate(self, revision: str) -> None:
        """Stop all replicas of a revision. It can be activated again."""
        with explained(f"deactivating revision {revision!r}"):
            self._revisions.deactivate_revision(self.group, self.name, revision)

    def revisions(self) -> list[Revision]:
        """All revisions, newest last."""
        with explained(f"listing the revisions of {self.name!r}"):
            found = [item.as_dict() for item in self._revisions.list_revisions(self.group, self.name)]
        return sorted(map(_revision, found), key=lambda revision: revision.created)

    def revision(self, name: str) -> Revision:
        """One revision. Raises DeploymentNotFound."""
        with explained(f"reading revision {name!r}"):
            return _revision(self._revisions.get_revision(self.group, self.name, name).as_dict())

    def replicas(self, revision: str) -> list[Replica]:
        """The replicas of a revision."""
        operations = self._clients.apps.container_apps_revision_replicas
        with explained(f"listing the replicas of {revision!r}"):
            document: Json = operations.list_replicas(self.group, self.name, revision).as_dict()
        return [_replica(item) for item in document.get("value") or ()]

    def restart(self, revision: str) -> None:
        """Restart all replicas of a revision in place."""
        with explained(f"restarting revision {revision!r}"):
            self._revisions.restart_revision(self.group, self.name, revision)

    def wait_until_ready(
        self, revision: str, *, timeout_seconds: float, progress: Callable[[str], None]
    ) -> None:
        """Return when the revision serves. Raises NotReady, with the reason, when it failed or is late."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            now = self.revision(revision)
            if now.health == "Healthy" and self._is_noticed(revision):
                return
            if now.failed:
                raise NotReady(_why(now, "failed"), hint="see: remora logs")
            if time.monotonic() > deadline:
                raise NotReady(
                    _why(now, f"was not ready in {timeout_seconds:.0f} s"), hint="see: remora logs"
                )
            progress(f"revision {revision}: {now.state or 'starting'}")
            time.sleep(min(self._clients.profile.poll_seconds, 2.0))

    def _is_noticed(self, revision: str) -> bool:
        """Whether the app's document knows, too, that its latest revision is ready: it lags behind."""
        state = self.read()
        return state.latest_revision != revision or state.latest_ready_revision == revision

    def delete(self) -> None:
        """Delete the app; a missing one is a no-op."""
        with explained(f"deleting container app {self.name!r}"), suppress(ResourceNotFoundError):
            self._apps.begin_delete(self.group, self.name).result()

    @property
    def _apps(self) -> Any:  # the SDK is untyped for us
        return self._clients.apps.container_apps

    @property
    def _revisions(self) -> Any:
        return self._clients.apps.container_apps_revisions


def _revision(document: Json) -> Revision:
    properties = document["properties"]
    template = properties.get("template") or {}
    scale = template.get("scale") or {}
    return Revision(
        name=document["name"],
        active=bool(properties.get("active")),
        state=properties.get("runningState") or "",
        health=properties.get("healthState") or "",
        details=_told(properties, "runningStateDetails", "provisioningError"),
        replicas=properties.get("replicas") or 0,
        created=str(properties.get("createdTime") or ""),
        fqdn=properties.get("fqdn") or "",
        environment=_plain_variables((template.get("containers") or [{}])[0]),
        min_replicas=scale.get("minReplicas") or 0,
        max_replicas=scale.get("maxReplicas") or 10,
    )


def _sent(secret: Json) -> Json:
    """A secret as it was listed, in the form that is sent: a value, or where a key vault has it."""
    known = ("name", "value", "keyVaultUrl", "identity")
    return {key: secret[key] for key in known if secret.get(key) is not None}


def _plain_variables(container: Json) -> dict[str, str]:
    found = container.get("env") or ()
    return {variable["name"]: variable["value"] for variable in found if variable.get("value") is not None}


def _told(properties: Json, *keys: str) -> str:
    """Everything that the cloud says under these keys, once."""
    return "; ".join(dict.fromkeys(str(properties[key]) for key in keys if properties.get(key)))


def _replica(document: Json) -> Replica:
    properties = document["properties"]
    container = (properties.get("containers") or [{}])[0]
    return Replica(
        name=document["name"],
        state=properties.get("runningState") or "",
        details=container.get("runningStateDetails") or properties.get("runningStateDetails") or "",
        container=container.get("name") or "",
        container_id=container.get("containerId") or "",
    )


def _why(revision: Revision, what: str) -> str:
    reason = f": {revision.details}" if revision.details else ""
    return f"revision {revision.name!r} {what} (state {revision.state or 'unknown'}){reason}"
