"""jobs and their executions as ARM sees them: what is stored, what is shown, what can be asked of one."""

# ruff: noqa: ARG002 - the signatures are those of the seam

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from containerapps_emulator.apps.capacity.placement import Placement
from containerapps_emulator.apps.documents.defaults import APP_NAME
from containerapps_emulator.apps.documents.identity import checked_identity, shown_identity
from containerapps_emulator.apps.documents.job_records import TYPE, ExecutionRecord, JobRecord
from containerapps_emulator.apps.documents.jobs import job_with_defaults, started_template, without_disks
from containerapps_emulator.apps.documents.records import Records
from containerapps_emulator.apps.documents.shapes import JOB
from containerapps_emulator.apps.documents.wire import (
    auth_token,
    display_location,
    unknown_action,
    without_nulls,
)
from containerapps_emulator.apps.host import Host
from containerapps_emulator.apps.jobs.jobs import Jobs
from containerapps_emulator.apps.resources.tokens import Tokens
from containerapps_emulator.arm.http import AnyCaseRoute
from containerapps_emulator.arm.resources.resource import Accepted, ArmError, ResourceId, Wire
from containerapps_emulator.arm.shapes import checked_properties
from containerapps_emulator.arm.subscription import LOCAL_SUBSCRIPTION
from containerapps_emulator.arm.timestamps import system_data
from containerapps_emulator.state import Json

STOP_PATH: Final = (
    "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.App/jobs/{job}/stop/{execution}"
)
EXECUTION_CONTAINER: Final = ("image", "name", "command", "args", "env", "resources", "volumeMounts")


class JobResources:
    type = TYPE
    put_wire = Wire.ASYNC_OPERATION
    patch_wire = Wire.LOCATION
    delete_wire = Wire.LOCATION

    def __init__(
        self, host: Host, records: Records, tokens: Tokens, jobs: Jobs, placement: Placement
    ) -> None:
        self._host = host
        self._records = records
        self._tokens = tokens
        self._jobs = jobs
        self._placement = placement

    def accept(self, resource_id: ResourceId, body: Json, existing: Json | None) -> Json:
        _check_name(resource_id.name)
        sent = checked_properties(body, JOB)
        properties = job_with_defaults(sent, (existing or {}).get("properties"))
        environment = properties["environmentId"]
        self._records.require_environment(environment)
        self._check_place(environment, properties["workloadProfileName"], properties["template"])
        for volume in properties["template"]["volumes"] or ():
            self._records.check_volume(volume, environment)
        identity = checked_identity(body.get("identity"))
        stored = {**body, "properties": properties, "systemData": system_data(existing)}
        return {**stored, "identity": identity}

    async def complete(self, resource_id: ResourceId, stored: Json) -> Json:
        self._records.put_identity(resource_id.key, stored.get("identity"))
        self._jobs.put(resource_id, stored["properties"])
        return {**stored, "properties": {**stored["properties"], "provisioningState": "Succeeded"}}

    def show(self, resource_id: ResourceId, stored: Json) -> Json:
        job, properties = self._jobs.find(resource_id), stored["properties"]
        in_progress = properties.get("provisioningState") == "InProgress"
        configuration: Json = stored["properties"]["configuration"]
        names = [{"name": item["name"]} for item in configuration["secrets"] or ()]
        path = f"{resource_id.group_id}/containerApps/{resource_id.name}/eventstream"
        return {
            **without_nulls(stored),
            "identity": shown_identity(stored.get("identity"), resource_id.key),
            "id": str(resource_id),
            "name": resource_id.name,
            "type": self.type,
            "location": display_location(stored.get("location")),
            "properties": {
                **properties,
                "template": without_disks(properties["template"]) if in_progress else properties["template"],
                "runningState": "Suspended" if job and job.suspended else "Ready",
                "outboundIpAddresses": [self._host.address],
                "configuration": {**configuration, "secrets": names or None},
                "eventStreamEndpoint": f"{self._host.arm_url()}{path}",
            },
        }

    async def delete(self, resource_id: ResourceId, stored: Json) -> None:
        await self._jobs.remove(resource_id)
        self._records.delete_identity(resource_id.key)

    async def action(
        self, resource_id: ResourceId, stored: Json, name: str, body: Json
    ) -> Json | str | Accepted | None:
        if name == "listsecrets":
            return {"value": stored["properties"]["configuration"]["secrets"] or []}
        if name == "getauthtoken":
            token = self._tokens.issue(resource_id.key)
            return auth_token(str(resource_id), resource_id.name, self.type, stored.get("location"), token)
        job = self._jobs.find(resource_id)
        if job is None:
            message = f"Job '{resource_id.name}' is being made; start it when it is there."
            raise ArmError(409, "ContainerAppJobOperationInProgress", message)
        if name == "start":
            return Accepted(self._start(job, body))
        if name == "stop":
            return Accepted(await self._stop(job, body))
        if name in ("suspend", "resume"):
            self._jobs.suspend(job, name == "suspend")
            return Accepted(self.show(resource_id, stored))
        raise unknown_action(self.type, name)

    def _start(self, job: JobRecord, body: Json) -> Json:
        template = started_template(job, body)
        self._check_place(job.environment, job.profile, template)
        execution = self._jobs.begin(job, template)
        return {"name": execution.name, "id": str(job.id.child("executions", execution.name))}

    async def _stop(self, job: JobRecord, body: Json) -> Json:
        """Of the executions that the body names, or of all."""
        value = body.get("value")
        items = value if isinstance(value, list) else ()
        named = {str(item.get("name")) for item in items if isinstance(item, dict)}
        stopped = await self._jobs.stop_executions(job, named or None)
        return {"value": [execution_document(job.id, item) for item in stopped]}

    def _check_place(self, environment: str, name: str, template: Json) -> None:
        self._placement.check(environment, name, template, {**template, "scale": {"minReplicas": 1}})


class StopOfExecution:
    """`POST …/jobs/{job}/stop/{execution}`, which the Azure CLI asks for."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self.routes = (AnyCaseRoute(STOP_PATH, self.stop, methods=["POST"]),)

    async def stop(self, request: Request) -> Response:
        LOCAL_SUBSCRIPTION.require(request.path_params["subscription"])
        group, name = request.path_params["group"], request.path_params["job"]
        job = ResourceId(LOCAL_SUBSCRIPTION.id, group, TYPE, (name,))
        await Executions(self._jobs).action(
            job.child("executions", request.path_params["execution"]), "stop", {}
        )
        return Response(status_code=200)


class Executions:
    type = f"{TYPE}/executions"

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    def get(self, resource_id: ResourceId) -> Json | None:
        found = self._find(resource_id)
        return execution_document(found[0].id, found[1]) if found else None

    def list(self, parent: ResourceId) -> list[Json]:
        return [execution_document(parent, item) for item in self._jobs.executions(parent)]

    async def action(self, resource_id: ResourceId, name: str, body: Json) -> Json | str | Accepted | None:
        found = self._find(resource_id)
        if found is None:
            message = f"Execution '{resource_id.name}' of job '{resource_id.names[0]}' was not found."
            raise ArmError(404, "JobExecutionNotFound", message)
        if name != "stop":
            raise unknown_action(self.type, name)
        await self._jobs.stop_executions(found[0], {found[1].name})
        return Accepted(None)

    def _find(self, resource_id: ResourceId) -> tuple[JobRecord, ExecutionRecord] | None:
        parent = resource_id.parent
        job = self._jobs.find(parent) if parent else None
        execution = self._jobs.execution(parent, resource_id.name) if job and parent else None
        return (job, execution) if job and execution else None


def execution_document(job: ResourceId, execution: ExecutionRecord) -> Json:
    status: Json = {"status": execution.status, "startTime": _seconds(execution.started_at)}
    ended: Json = {"endTime": execution.ended_at} if execution.ended_at else {}
    why = {"reason": execution.reason, "message": execution.message} if execution.reason else {}
    template = execution.template
    return {
        "id": str(job.child("executions", execution.name)),
        "name": execution.name,
        "type": Executions.type,
        "properties": {
            **status,
            **ended,
            **why,
            "template": {
                "containers": [_shown(item) for item in template["containers"]],
                "initContainers": [_shown(item) for item in template["initContainers"] or ()] or None,
            },
            "detailedStatus": {"replicas": list(execution.replicas)},
        },
    }


def _shown(container: Mapping[str, Any]) -> Json:
    return {name: container[name] for name in EXECUTION_CONTAINER if name in container}


def _seconds(time: str) -> str:
    """Without the part of a second, which only orders the records."""
    return f"{time[:19]}{time[-6:]}"


def _check_name(name: str) -> None:
    if not APP_NAME.fullmatch(name):
        raise ArmError(
            400,
            "ContainerAppJobInvalidName",
            f"Invalid job name '{name}'. A name must consist of lower case alphanumeric characters or '-',"
            " start with a letter, end with an alphanumeric character and cannot have '--'. The length must"
            " not be more than 32 characters.",
        )
