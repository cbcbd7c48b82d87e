"""How a change is answered over HTTP: status codes and headers, type by type, as they were recorded."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from remora.localcloud.arm.http import own_url
from remora.localcloud.arm.operations import Operation
from remora.localcloud.arm.provider_answers import asked_version, resource_json
from remora.localcloud.arm.resource import ResourceId, Wire
from remora.localcloud.state import Json

_STATUS_SEGMENTS = {
    "microsoft.app/containerapps": ("containerappOperationStatuses", "containerappOperationResults"),
    "microsoft.app/managedenvironments": (
        "managedEnvironmentOperationStatuses",
        "managedEnvironmentOperationResults",
    ),
    "microsoft.storage/storageaccounts": ("asyncoperations", "asyncoperations"),
}
_LAST_WITHOUT_STATUS = "2024-03-01"  # a PATCH's answer has a status URL only since then
_ALWAYS_200 = frozenset(
    ("microsoft.storage/storageaccounts/fileservices", "microsoft.app/managedenvironments/storages")
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
    """201 with a status to poll, 202 with a place to look, or done."""
    if operation is None:
        created = new and resource_id.type.lower() not in _ALWAYS_200
        return resource_json(request, shown, 201 if created else 200)
    if wire is Wire.LOCATION:
        headers = _location(request, resource_id, shown, operation)
        return Response(status_code=202, headers=headers, media_type="text/plain")
    return resource_json(request, shown, 201, _status(request, resource_id, shown, operation))


def patch_response(
    request: Request, resource_id: ResourceId, shown: Json, operation: Operation | None
) -> Response:
    """202 without a body and a place to look, for newer versions also a status to poll; or done."""
    if operation is None:
        return resource_json(request, shown)
    headers = _location(request, resource_id, shown, operation)
    if asked_version(request) > _LAST_WITHOUT_STATUS:
        headers |= _status(request, resource_id, shown, operation)
    return Response(status_code=202, headers=headers)


def delete_response(
    request: Request, resource_id: ResourceId, location: str, operation: Operation | None, *, existed: bool
) -> Response:
    """204 where there was nothing, 200 where it is gone, 202 where it is going."""
    if operation is None:
        return Response(status_code=200 if existed else 204)
    headers = _location(request, resource_id, {"location": location}, operation)
    return Response(status_code=202, headers=headers)


def asks_for_status(request: Request) -> bool:
    """Whether a poll is of a status URL; the other ones lead to the result."""
    segment = request.path_params["segment"].lower()
    return "monitor" not in request.query_params and not segment.endswith("results")


def go_on(request: Request) -> Response:
    """What polling a result answers before there is one: the same place again."""
    monitor = {"monitor": "true"} if "monitor" in request.query_params else {}
    url = own_url(request, request.url.path, **monitor)
    return Response(status_code=202, headers={"Location": url})


def status_body(request: Request, operation: Operation) -> Json:
    """What polling a status URL answers."""
    body: Json = {
        "id": request.url.path,
        "name": operation.id,
        "status": operation.status,
        "startTime": operation.start_time.rstrip("Z"),
    }
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
