"""The state of a container app, its revisions and their replicas, as data. Sends no request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from remora.azure.app.scale import Scale, scale_of
from remora.azure.app.traffic import Traffic, traffic_of

SHARE_URL_VARIABLE = "REMORA_SHARE_URL"
SHARE_VARIABLES = (SHARE_URL_VARIABLE, "REMORA_SHARE_IDENTITY", "REMORA_BOOTSTRAP")
"""What a container has that pulls from its share instead of mounting it."""
_FAILED_STATES = frozenset({"Failed", "ActivationFailed"})

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Replica:
    """One running copy of a revision. `container_id` changes at every start of its container.

    `ready` and `restarts` are those of its first container.
    """

    name: str
    state: str
    details: str
    container: str
    container_id: str
    ready: bool = False
    restarts: int = 0
    created: str = ""


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision and its status. `state` is Azure's runningState, `health` its healthState.

    `fqdn` is its own address, which works regardless of its traffic.
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
    scale: Scale = field(default_factory=Scale)

    @property
    def ending(self) -> bool:
        """Whether its replicas are being stopped; it counts as active until the last one has ended."""
        return self.state == "Deprovisioning"

    @property
    def failed(self) -> bool:
        """Whether the cloud has given up on it, so that waiting longer is useless.

        "Degraded" is not such a state: Azure also shows it while replicas start one after another.
        """
        return self.state in _FAILED_STATES


@dataclass(frozen=True, slots=True)
class AppState:
    """What the app's document says.

    `environment` (plain values only, never secrets), scale, image and template are those of the latest
    revision, which is not always the serving one.
    `provisioning` is ARM's state of its last change, with ARM's errors if there are any.
    """

    fqdn: str
    latest_revision: str
    latest_ready_revision: str
    provisioning: str
    environment: Mapping[str, str]
    scale: Scale
    image: str
    event_stream: str
    template: Json
    traffic: Traffic
    workload_profile: str
    environment_id: str

    @property
    def command(self) -> tuple[str, ...]:
        """The command of its first container; empty if the image defines it."""
        container = self.template["containers"][0]
        return (*(container.get("command") or ()), *(container.get("args") or ()))

    @property
    def serving_revision(self) -> str:
        """The revision with most of the traffic; "" if none has ever been ready."""
        return self.traffic.serving(self.latest_ready_revision)


@dataclass(frozen=True, slots=True)
class MountedShare:
    """The file share behind a storage of an environment."""

    account: str
    name: str

    def __str__(self) -> str:
        return f"share {self.name!r} of storage account {self.account!r}"

    @classmethod
    def of_url(cls, url: str) -> MountedShare:
        """The share of a URL: `https://ACCOUNT.file.…/SHARE`, or `http://127.0.0.1:PORT/ACCOUNT/SHARE`."""
        parts = urlsplit(url)
        *before, name = parts.path.strip("/").split("/")
        return cls(before[-1] if before else (parts.hostname or "").partition(".")[0], name)


@dataclass(frozen=True, slots=True)
class EnvironmentValue:
    """The value of an environment variable, and the secret that holds it; "" if none does."""

    value: str = field(repr=False)
    secret: str = ""


def app_state_of(properties: Json) -> AppState:
    """The state in the `properties` of an app's document."""
    template = properties["template"]
    container = template["containers"][0]
    configuration = properties.get("configuration") or {}
    return AppState(
        fqdn=(configuration.get("ingress") or {}).get("fqdn") or "",
        latest_revision=properties.get("latestRevisionName") or "",
        latest_ready_revision=properties.get("latestReadyRevisionName") or "",
        provisioning=_told(properties, "provisioningState", "deploymentErrors"),
        environment=_plain_variables(container),
        scale=scale_of(template.get("scale") or {}),
        image=container.get("image") or "",
        event_stream=properties.get("eventStreamEndpoint") or "",
        template=template,
        traffic=traffic_of(configuration),
        workload_profile=properties.get("workloadProfileName") or "",
        environment_id=properties.get("environmentId") or properties.get("managedEnvironmentId") or "",
    )


def revision_of(document: Json) -> Revision:
    """The revision in its document."""
    properties = document["properties"]
    template = properties.get("template") or {}
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
        scale=scale_of(template.get("scale") or {}),
    )


def _plain_variables(container: Json) -> dict[str, str]:
    found = container.get("env") or ()
    return {variable["name"]: variable["value"] for variable in found if variable.get("value") is not None}


def _told(properties: Json, *keys: str) -> str:
    """All texts under these keys, without duplicates."""
    return "; ".join(dict.fromkeys(str(properties[key]) for key in keys if properties.get(key)))


def replica_of(document: Json) -> Replica:
    """The replica in its document."""
    properties = document["properties"]
    container = (properties.get("containers") or [{}])[0]
    return Replica(
        name=document["name"],
        state=properties.get("runningState") or "",
        details=container.get("runningStateDetails") or properties.get("runningStateDetails") or "",
        container=container.get("name") or "",
        container_id=container.get("containerId") or "",
        ready=bool(container.get("ready")),
        restarts=container.get("restartCount") or 0,
        created=str(properties.get("createdTime") or ""),
    )
