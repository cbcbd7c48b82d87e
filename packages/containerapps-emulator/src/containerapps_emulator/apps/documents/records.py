"""What of an app survives a restart: its record, its revisions, and the environment that it lives in.

The only module that knows how these are spelled in the state file.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Final

from containerapps_emulator.arm.resources.resource import ArmError, ResourceId
from containerapps_emulator.state import Json, State

APPS: Final = "apps.app"
REVISIONS: Final = "revisions"
ENVIRONMENTS: Final = "apps.environment"
STORAGES: Final = "apps.storage"
IDENTITIES: Final = "apps.identity"
CERTIFICATES: Final = "apps.certificate"


@dataclass(frozen=True, slots=True)
class Share:
    """What an environment storage stands for."""

    account: str
    name: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class AppRecord:
    subscription: str
    group: str
    name: str
    environment: str
    configuration: Json  # with the values of its secrets
    port: int = 0  # of the ingress listener; 0: never had one
    stopped: bool = False
    revisions: int = 0  # ever made
    latest: str = ""
    latest_ready: str = ""
    profile: str = "Consumption"  # the name of a workload profile of the environment

    @classmethod
    def new(cls, app: ResourceId) -> AppRecord:
        return cls(app.subscription, app.group, app.name, environment="", configuration={})

    @property
    def id(self) -> ResourceId:
        return ResourceId(self.subscription, self.group, "Microsoft.App/containerApps", (self.name,))

    @property
    def key(self) -> str:
        return self.id.key

    @property
    def multiple(self) -> bool:
        """Whether several revisions serve, by the weights of the traffic."""
        return self.configuration["activeRevisionsMode"] in ("Multiple", "Labels")

    @property
    def label(self) -> str:
        """In Labels mode, what the next new revision is called; else "". A revision without a label ends."""
        is_labels = self.configuration["activeRevisionsMode"] == "Labels"
        return str(self.configuration.get("targetLabel") or "") if is_labels else ""

    @property
    def traffic(self) -> list[Json]:
        return list((self.ingress or {}).get("traffic") or ())

    def with_traffic(self, traffic: list[Json]) -> AppRecord:
        ingress = {**(self.ingress or {}), "traffic": traffic}
        return replace(self, configuration={**self.configuration, "ingress": ingress})

    @property
    def ingress(self) -> Json | None:
        ingress: Json | None = self.configuration["ingress"]
        return ingress

    def with_properties(self, properties: Json) -> AppRecord:
        """The record after a client sent new properties."""
        return replace(
            self,
            configuration=properties["configuration"],
            environment=properties["environmentId"],
            profile=properties["workloadProfileName"],
        )

    @property
    def secrets(self) -> dict[str, str]:
        return {item["name"]: item["value"] for item in self.configuration["secrets"] or ()}


@dataclass(frozen=True, slots=True)
class RevisionRecord:
    app: str  # key
    name: str
    number: int
    created_at: str
    template: Json
    active: bool = True
    port: int = 0
    proven: bool = False  # has been ready once, so it need not run to show that it can
    label: str = ""  # what it is to be called once it is ready, in Labels mode
    last_active_at: str = ""  # when it was deactivated

    @property
    def key(self) -> str:
        return f"{self.app}/revisions/{self.name}".lower()


class Records:
    def __init__(self, state: State) -> None:
        self._state = state

    def apps(self) -> list[AppRecord]:
        return [AppRecord(**body) for _, body in self._state.list(APPS)]

    def put_app(self, app: AppRecord) -> None:
        self._state.put(APPS, app.key, asdict(app))

    def delete_app(self, app: AppRecord) -> None:
        for revision in self.revisions(app):
            self.delete_revision(revision)
        self._state.delete(APPS, app.key)

    def revisions(self, app: AppRecord) -> list[RevisionRecord]:
        """Oldest first."""
        documents = self._state.list(REVISIONS, f"{app.key}/revisions/")
        return sorted((RevisionRecord(**body) for _, body in documents), key=lambda revision: revision.number)

    def put_revision(self, revision: RevisionRecord) -> None:
        self._state.put(REVISIONS, revision.key, asdict(revision))

    def delete_revision(self, revision: RevisionRecord) -> None:
        self._state.delete(REVISIONS, revision.key)

    def put_environment(self, environment: str, body: Json) -> None:
        self._state.put(ENVIRONMENTS, environment, body)

    def environments(self) -> list[tuple[str, Json]]:
        """(lower-case id, what is known of it) of each."""
        return self._state.list(ENVIRONMENTS)

    def environment(self, environment: str) -> Json | None:
        return self._state.get(ENVIRONMENTS, environment)

    def require_environment(self, environment: str) -> None:
        """Raises ArmError where there is no such environment."""
        if self.environment(environment) is None:
            message = f"Managed environment '{environment}' does not exist."
            raise ArmError(400, "ManagedEnvironmentNotFound", message)

    def delete_environment(self, environment: str) -> None:
        self._state.delete(ENVIRONMENTS, environment)

    def put_share(self, storage: str, share: Share) -> None:
        self._state.put(STORAGES, storage, asdict(share))

    def share(self, environment: str, storage: str) -> Share | None:
        body = self._state.get(STORAGES, f"{environment}/storages/{storage}")
        return None if body is None else Share(**body)

    def put_certificate(self, certificate: str) -> None:
        self._state.put(CERTIFICATES, certificate, {})

    def has_certificate(self, certificate: str) -> bool:
        return self._state.get(CERTIFICATES, certificate) is not None

    def delete_certificate(self, certificate: str) -> None:
        self._state.delete(CERTIFICATES, certificate)

    def domains(self) -> list[tuple[AppRecord, Json]]:
        """The custom domains of all apps, each with its app."""
        return [(app, item) for app in self.apps() for item in (app.ingress or {}).get("customDomains") or ()]

    def check_volume(self, volume: Json, environment: str) -> None:
        """Refuse a volume of a storage that the environment does not have. Raises ArmError."""
        storage = volume.get("storageName")
        if volume.get("storageType") == "AzureFile" and not self.share(environment, storage or ""):
            raise ArmError(
                400,
                "ManagedEnvironmentStorageNotFound",
                f"ManagedEnvironment Storage '{storage}' of volume '{volume.get('name')}' was not found.",
            )

    def put_identity(self, key: str, identity: Json | None) -> None:
        """What an app or a job is assigned, by its key."""
        self._state.put(IDENTITIES, key, {"identity": identity})

    def identity(self, key: str) -> Json | None:
        """None where nothing is assigned."""
        found: Json | None = (self._state.get(IDENTITIES, key) or {}).get("identity")
        return found

    def delete_identity(self, key: str) -> None:
        self._state.delete(IDENTITIES, key)

    def delete_share(self, storage: str) -> None:
        self._state.delete(STORAGES, storage)
