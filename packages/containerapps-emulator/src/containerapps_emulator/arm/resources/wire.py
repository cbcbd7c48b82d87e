"""The HTTP responses to changes: status codes and headers per type, as recorded. Changes nothing itself."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from containerapps_emulator.arm.http import own_url
from containerapps_emulator.arm.operations import Operation
from containerapps_emulator.arm.resources.provider_answers import asked_version, resource_json
from containerapps_emulator.arm.resources.resource import ResourceId, Wire
from containerapps_emulator.state import Json

_OF_JOBS = ("containerappsjobOperationStatuses", "containerappsjobOperationResults")
_STATUS_SEGMENTS = {
    "microsoft.app/containerapps": ("containerappOperationStatuses", "containerappOperationResults"),
    "microsoft.app/jobs": _OF_JOBS,
    "microsoft.app/jobs/executions": _OF_JOBS,
    "microsoft.app/managedenvironments": (
        "managedEnvironmentOperationStatuses",
        "managedEnvironmentOperationResults",
    ),
    "microsoft.app/managedenvironments/managedcertificates": (
        "managedCertificateOperationStatuses",
        "managedCertificateOperationResults",
    ),
    "microsoft.storage/storageaccounts": ("asyncoperations", "asyncoperations"),
    "microsoft.operationalinsights/workspaces": ("operationstatuses", "operationresults"),
}
# Their first answer names the resource itself beside the status URL, and they say when an operation ended.
_NAME_THEMSELVES = frozenset(("microsoft.operationalinsights/workspaces",))
_LAST_WITHOUT_STATUS = "2024-03-01"  # only later versions return a status URL for PATCH, and of apps only
_LOCATED = frozenset(("microsoft.managedidentity/userassignedidentities",))  # name themselves when created
_ALWAYS_200 = frozenset(
    (
        "microsoft.storage/storageaccounts/fileservices",
        "microsoft.app/managedenvironments/certificates",
        "microsoft.app/managedenvironments/storages",
    )
)


def put_response(
    request: Request,
    wire: Wire,
    resource_id: ResourceId,
    shown: Json,
    operation: Operation | None,
    *,
    new: bool,
) -> Response:
    """201 with a status URL to poll, 202 with a result URL, or the finished resource."""
    if operation is None:
        created = new and resource_id.type.lower() not in _ALWAYS_200
        located = {"Location": str(shown["id"])} if created and resource_id.type.lower() in _LOCATED else {}
        return resource_json(request, shown, 201 if created else 200, located)
    if wire is Wire.LOCATION:
        headers = _location(request, resource_id, shown, operation)
        return Response(status_code=202, headers=headers, media_type="text/plain")
    if resource_id.type.lower() in _NAME_THEMSELVES:
        path = _path(resource_id, shown, operation, _segments(resource_id)[0])
        headers = {
            "Azure-AsyncOperation": own_url(request, path),
            "Location": own_url(request, str(resource_id)),
        }
        return resource_json(request, shown, 201 if new else 200, headers)
    return resource_json(request, shown, 201, _status(request, resource_id, shown, operation))


def patch_response(
    request: Request, resource_id: ResourceId, shown: Json, operation: Operation | None
) -> Response:
    """202 with a result URL (in newer versions also a status URL), or the finished resource."""
    if operation is None:
        return resource_json(request, shown)
    headers = _location(request, resource_id, shown, operation)
    of_an_app = resource_id.type.lower() == "microsoft.app/containerapps"
    if of_an_app and asked_version(request) > _LAST_WITHOUT_STATUS:
        status = _status(request, resource_id, shown, operation)
        headers["Azure-AsyncOperation"] = status["Azure-AsyncOperation"]
    return Response(status_code=202, headers=headers)


def delete_response(
    request: Request, resource_id: ResourceId, location: str, operation: Operation | None, *, existed: bool
) -> Response:
    """204 if nothing existed, 200 if it is deleted, 202 while it is being deleted."""
    if operation is None:
        return Response(status_code=200 if existed else 204)
    return accepted(request, resource_id, location, operation)


def accepted(request: Request, resource_id: ResourceId, location: str, operation: Operation) -> Response:
    """202 with the URL of the result, and with the result itself where it is known: `az` reads it there."""
    headers = _location(request, resource_id, {"location": location}, operation)
    if operation.result is not None:
        return resource_json(request, operation.result, 202, headers)
    return Response(status_code=202, headers=headers)


def asks_for_status(request: Request) -> bool:
    """Whether the request polls a status URL rather than a result URL."""
    segment = request.path_params["segment"].lower()
    return "monitor" not in request.query_params and not segment.endswith("results")


def go_on(request: Request) -> Response:
    """The response to polling a result that is not ready: the same URL again."""
    monitor = {"monitor": "true"} if "monitor" in request.query_params else {}
    url = own_url(request, request.url.path, **monitor)
    return Response(status_code=202, headers={"Location": url})


def status_body(request: Request, operation: Operation) -> Json:
    """The response to polling a status URL."""
    body: Json = {
        "id": request.url.path,
        "name": operation.id,
        "status": operation.status,
        "startTime": operation.start_time.rstrip("Z"),
    }
    if any(operation_of.partition("/")[0] in request.url.path.lower() for operation_of in _NAME_THEMSELVES):
        ended = {"endTime": operation.end_time, "properties": {}} if operation.end_time else {}
        body |= {"startTime": operation.start_time, **ended}
    return body | ({"error": operation.error} if operation.error else {})


def _status(request: Request, resource_id: ResourceId, shown: Json, operation: Operation) -> dict[str, str]:
    path = _path(resource_id, shown, operation, _segments(resource_id)[0])
    return {
        "Azure-AsyncOperation": own_url(request, path, azureAsyncOperation="true"),
        "x-ms-async-operation-timeout": "PT15M",
    }


def _location(request: Request, resource_id: ResourceId, shown: Json, operation: Operation) -> dict[str, str]:
    path = _path(resource_id, shown, operation, _segments(resource_id)[1])
    monitor = {} if path.split("/")[-2].endswith("Results") else {"monitor": "true"}
    return {"Location": own_url(request, path, **monitor)}


def _segments(resource_id: ResourceId) -> tuple[str, str]:
    return _STATUS_SEGMENTS.get(resource_id.type.lower(), ("operationStatuses", "operationResults"))


def _path(resource_id: ResourceId, shown: Json, operation: Operation, segment: str) -> str:
    namespace = resource_id.type.split("/")[0]
    location = str(shown.get("location") or "eastus").replace(" ", "").lower()
    return (
        f"/subscriptions/{resource_id.subscription}/providers/{namespace}"
        f"/locations/{location}/{segment}/{operation.id}"
    )
