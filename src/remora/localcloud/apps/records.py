"""What of an app survives a restart: its record, its revisions, and the environment that it lives in.

The only module that knows how these are spelled in the state file.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Final

from remora.localcloud.apps.mounts import Share
from remora.localcloud.arm.resource import ResourceId
from remora.localcloud.state import Json, State

APPS: Final = "apps.app"
REVISIONS: Final = "revisions"
ENVIRONMENTS: Final = "apps.environment"
STORAGES: Final = "apps.storage"


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
        return bool(self.configuration["activeRevisionsMode"] == "Multiple")

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

    def delete_environment(self, environment: str) -> None:
        self._state.delete(ENVIRONMENTS, environment)

    def put_share(self, storage: str, share: Share) -> None:
        self._state.put(STORAGES, storage, asdict(share))

    def share(self, environment: str, storage: str) -> Share | None:
        body = self._state.get(STORAGES, f"{environment}/storages/{storage}")
        return None if body is None else Share(**body)

    def delete_share(self, storage: str) -> None:
        self._state.delete(STORAGES, storage)
