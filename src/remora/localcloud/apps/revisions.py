"""containerApps/revisions and …/replicas as ARM sees them: derived documents and their actions."""

# ruff: noqa: ARG002 - the signatures are those of the seam

from __future__ import annotations

from remora.localcloud.apps.app import App
from remora.localcloud.apps.fleet import Fleet
from remora.localcloud.apps.host import Host
from remora.localcloud.apps.records import RevisionRecord
from remora.localcloud.apps.replica import Replica
from remora.localcloud.apps.wire import revision_not_found, unknown_action
from remora.localcloud.arm.resource import ResourceId
from remora.localcloud.state import Json


class Revisions:
    type = "Microsoft.App/containerApps/revisions"

    def __init__(self, host: Host, fleet: Fleet) -> None:
        self._host = host
        self._fleet = fleet

    def get(self, resource_id: ResourceId) -> Json | None:
        found = _find(self._fleet, resource_id)
        return None if found is None else self._document(*found)

    def list(self, parent: ResourceId) -> list[Json]:
        app = self._fleet.find(parent)
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
        running = app.running(revision.name)
        return {
            "id": str(app.record.id.child("revisions", revision.name)),
            "name": revision.name,
            "type": "Microsoft.App/containerapps/revisions",
            "properties": {
                "createdTime": revision.created_at,
                "fqdn": f"{self._host.address}:{revision.port}" if revision.port else "",
                "template": _template(revision.template),
                "active": revision.active,
                "replicas": len(running.replicas) if running else 0,
                "trafficWeight": app.weight(revision.name) if revision.active else 0,
                "healthState": status.health,
                "provisioningState": status.provisioning,
                "runningState": status.running,
                **({"provisioningError": status.details} if status.details else {}),
            },
        }


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
        running = found[0].running(found[1].name)
        revision = found[0].record.id.child("revisions", found[1].name)
        return [self._document(revision, replica) for replica in running.replicas] if running else []

    async def action(self, resource_id: ResourceId, name: str, body: Json) -> Json | str | None:
        raise unknown_action(self.type, name)

    def _document(self, revision: ResourceId, replica: Replica) -> Json:
        status = replica.status
        return {
            "id": str(revision.child("replicas", replica.name)),
            "name": replica.name,
            "type": "Microsoft.App/containerapps/revisions/replicas",
            "properties": {
                "createdTime": replica.created_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "runningState": "Running" if status.running else "NotRunning",
                "runningStateDetails": "" if status.ready else status.details,
                "containers": [self._container(revision, replica)],
                "initContainers": [],
            },
        }

    def _container(self, revision: ResourceId, replica: Replica) -> Json:
        status = replica.status
        state = "Running" if status.running else "Terminated" if status.exits_in_a_row else "Waiting"
        container = replica.order.container
        path = (
            f"{revision.group_id}/containerApps/{revision.names[0]}/revisions/{revision.name}"
            f"/replicas/{replica.name}/containers/{container}"
        )
        return {
            "name": container,
            "containerId": replica.container_id,
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
    app = fleet.find(parent) if parent else None
    if app is None:
        return None
    wanted = resource_id.name.lower()
    return next(((app, revision) for revision in app.revisions if revision.name == wanted), None)


def _template(stored: Json) -> Json:
    """As a revision shows it: no suffix, always probes, no disk."""
    containers = [
        {
            "probes": [],
            **container,
            "resources": {
                name: value for name, value in container["resources"].items() if name != "ephemeralStorage"
            },
        }
        for container in stored["containers"]
    ]
    return {**stored, "revisionSuffix": None, "containers": containers}
