"""containerApps/revisions and …/replicas as ARM sees them: derived documents and their actions."""

# ruff: noqa: ARG002 - the signatures are those of the seam

from __future__ import annotations

from collections.abc import Iterable, Sequence

from containerapps_emulator.apps.app import App
from containerapps_emulator.apps.documents.records import RevisionRecord
from containerapps_emulator.apps.documents.wire import revision_not_found, unknown_action
from containerapps_emulator.apps.fleet import Fleet
from containerapps_emulator.apps.host import Host
from containerapps_emulator.apps.replicas.companions import Companion
from containerapps_emulator.apps.replicas.replica import Replica
from containerapps_emulator.apps.replicas.replica_order import ReplicaStatus
from containerapps_emulator.arm.resources.resource import ResourceId
from containerapps_emulator.state import Json


class Revisions:
    type = "Microsoft.App/containerApps/revisions"

    def __init__(self, host: Host, fleet: Fleet) -> None:
        self._host = host
        self._fleet = fleet

    def get(self, resource_id: ResourceId) -> Json | None:
        found = _find(self._fleet, resource_id)
        return None if found is None else self._document(*found)

    def list(self, parent: ResourceId) -> list[Json]:
        app = self._fleet.wake(parent)
        return [self._document(app, revision) for revision in app.revisions] if app else []

    async def action(self, resource_id: ResourceId, name: str, body: Json) -> Json | str | None:
        found = _find(self._fleet, resource_id)
        if found is None:
            raise revision_not_found(resource_id.names[0], resource_id.name)
        app, revision = found
        actions = {"activate": app.activate, "deactivate": app.deactivate, "restart": app.restart}
        if name not in actions:
            raise unknown_action(self.type, name)
        await actions[name](revision)
        return f"{name.capitalize()} succeeded"

    def _document(self, app: App, revision: RevisionRecord) -> Json:
        status = app.status(revision)
        at_work = app.at_work(revision.name)
        is_active = revision.active or at_work is not None
        return {
            "id": str(app.record.id.child("revisions", revision.name)),
            "name": revision.name,
            "type": "Microsoft.App/containerapps/revisions",
            "properties": {
                "createdTime": revision.created_at,
                **({} if is_active else {"lastActiveTime": revision.last_active_at or revision.created_at}),
                "fqdn": self._address(app, revision),
                "template": _template(revision.template),
                "active": is_active,
                "replicas": len(at_work.replicas) if at_work else 0,
                "trafficWeight": app.weight(revision.name),
                "healthState": status.health,
                "provisioningState": status.provisioning,
                "runningState": status.running,
                **({"provisioningError": status.details} if status.details else {}),
            },
        }

    def _address(self, app: App, revision: RevisionRecord) -> str:
        """Azure gives an address to a revision without ingress too, and nobody answers there."""
        has_door = revision.port and app.record.ingress
        return f"{self._host.address}:{revision.port}" if has_door else f"{revision.name}.local.invalid"


class Replicas:
    type = "Microsoft.App/containerApps/revisions/replicas"

    def __init__(self, host: Host, fleet: Fleet) -> None:
        self._host = host
        self._fleet = fleet

    def get(self, resource_id: ResourceId) -> Json | None:
        """Also by the beginning of its name, which is what some clients have of it."""
        revision = resource_id.parent
        if revision is None or _find(self._fleet, revision) is None:
            return None
        documents = [item for item in self.list(revision) if item["name"].startswith(resource_id.name)]
        return documents[0] if documents else None

    def list(self, parent: ResourceId) -> list[Json]:
        found = _find(self._fleet, parent)
        if found is None:
            raise revision_not_found(parent.names[0], parent.name)
        at_work = found[0].at_work(found[1].name)
        revision = found[0].record.id.child("revisions", found[1].name)
        return [self._document(revision, replica) for replica in at_work.replicas] if at_work else []

    async def action(self, resource_id: ResourceId, name: str, body: Json) -> Json | str | None:
        raise unknown_action(self.type, name)

    def _document(self, revision: ResourceId, replica: Replica) -> Json:
        status = replica.shown_status
        return {
            "id": str(revision.child("replicas", replica.name)),
            "name": replica.name,
            "type": "Microsoft.App/containerapps/revisions/replicas",
            "properties": {
                "createdTime": replica.created_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "runningState": "Running" if status.running else "NotRunning",
                "runningStateDetails": "" if status.ready else status.details,
                "containers": [
                    self._container(revision, replica, replica.order.container, replica.container_id, status),
                    *self._companions(revision, replica, replica.companions.sidecars),
                ],
                "initContainers": self._companions(revision, replica, replica.companions.initial),
            },
        }

    def _companions(
        self, revision: ResourceId, replica: Replica, companions: Iterable[Companion]
    ) -> Sequence[Json]:
        return [
            self._container(revision, replica, item.name, item.container_id, item.status)
            for item in companions
        ]

    def _container(
        self, revision: ResourceId, replica: Replica, name: str, container_id: str, status: ReplicaStatus
    ) -> Json:
        ended = status.exits_in_a_row or (status.was_ready and not status.running)
        state = "Running" if status.running else "Terminated" if ended else "Waiting"
        path = (
            f"{revision.group_id}/containerApps/{revision.names[0]}/revisions/{revision.name}"
            f"/replicas/{replica.name}/containers/{name}"
        )
        return {
            "name": name,
            "containerId": container_id,
            "ready": status.ready,
            "started": status.started,
            "restartCount": status.restarts,
            "runningState": state,
            "runningStateDetails": status.details,
            "logStreamEndpoint": f"{self._host.arm_url()}{path}/logstream",
            "execEndpoint": f"{self._host.arm_url().replace('http', 'ws', 1)}{path}/exec",
        }


def _find(fleet: Fleet, resource_id: ResourceId) -> tuple[App, RevisionRecord] | None:
    parent = resource_id.parent
    app = fleet.wake(parent) if parent else None
    if app is None:
        return None
    wanted = resource_id.name.lower()
    return next(((app, revision) for revision in app.revisions if revision.name == wanted), None)


def _template(stored: Json) -> Json:
    """As a revision shows it: no suffix, always probes, no disk, no times of scaling."""
    scale = {**(stored.get("scale") or {}), "cooldownPeriod": None, "pollingInterval": None}
    return {
        **stored,
        "revisionSuffix": None,
        "containers": [{"probes": [], **_without_disk(item)} for item in stored["containers"]],
        "initContainers": [_without_disk(item) for item in stored.get("initContainers") or ()] or None,
        "scale": {**scale, "rules": [_rule(rule) for rule in scale.get("rules") or ()] or None},
    }


def _without_disk(container: Json) -> Json:
    shown = {name: value for name, value in container["resources"].items() if name != "ephemeralStorage"}
    return {**container, "resources": shown}


def _rule(stored: Json) -> Json:
    """Of an HTTP rule a revision shows what it scales by, and nothing else that was sent."""
    if not stored.get("http"):
        return stored
    metadata = stored["http"].get("metadata") or {}
    kept = {name: value for name, value in metadata.items() if name == "concurrentRequests"}
    return {**stored, "http": {"metadata": kept}}
