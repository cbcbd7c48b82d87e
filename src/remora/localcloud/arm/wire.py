"""How a change is answered over HTTP: status codes and headers, type by type, as they were recorded."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from remora.localcloud.arm.http import own_url
from remora.localcloud.arm.operations import Operation
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
        return JSONResponse(shown, status_code=201 if created else 200)
    if wire is Wire.LOCATION:
        return Response(status_code=202, headers=_location(request, resource_id, shown, operation))
    return JSONResponse(shown, status_code=201, headers=_status(request, resource_id, shown, operation))


def patch_response(
    request: Request, resource_id: ResourceId, shown: Json, operation: Operation | None
) -> Response:
    """202 without a body, and both headers; or done."""
    if operation is None:
        return JSONResponse(shown)
    headers = _status(request, resource_id, shown, operation)
    headers |= _location(request, resource_id, shown, operation)
    return Response(status_code=202, headers=headers)


def delete_response(
    request: Request, resource_id: ResourceId, location: str, operation: Operation | None, *, existed: bool
) -> Response:
    """204 where there was nothing, 200 where it is gone, 202 where it is going."""
    if operation is None:
        return Response(status_code=200 if existed else 204)
    headers = _location(request, resource_id, {"location": location}, operation)
    return Response(status_code=202, headers=headers)


def status_body(request: Request, operation: Operation) -> Json:
    """What polling a status URL answers."""
    body: Json = {
        "id": request.url.path,
        "name": operation.id,
        "status": operation.status,
        "startTime": operation.start_time,
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
    return {"Location": own_url(request, path, monitor="true")}


def _segments(resource_id: ResourceId) -> tuple[str, str]:
    return _STATUS_SEGMENTS.get(resource_id.type.lower(), ("operationStatuses", "operationResults"))


def _path(resource_id: ResourceId, shown: Json, operation: Operation, segment: str) -> str:
    namespace = resource_id.type.split("/")[0]
    location = str(shown.get("location") or "eastus").replace(" ", "").lower()
    return (
        f"/subscriptions/{resource_id.subscription}/providers/{namespace}"
        f"/locations/{location}/{segment}/{operation.id}"
    )
