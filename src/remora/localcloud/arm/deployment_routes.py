"""HTTP for template deployments to a resource group."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from remora.localcloud.arm.deployment_record import DeploymentRecord
from remora.localcloud.arm.deployments import Deployments, Locate
from remora.localcloud.arm.http import AnyCaseRoute, own_url, read_json
from remora.localcloud.arm.lenient_json import Position, locate
from remora.localcloud.arm.resource import ArmError
from remora.localcloud.arm.subscription import Subscription

_ALL = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Resources/deployments"
_ONE = _ALL + "/{name}"
_OPERATIONS = "/subscriptions/{subscription}/resourceGroups/{group}/deployments/{name}/operations"


class DeploymentRoutes:
    """Validate, create, follow, cancel and forget deployments."""

    def __init__(self, subscription: Subscription, deployments: Deployments) -> None:
        self._subscription = subscription
        self._deployments = deployments
        self.routes = (
            AnyCaseRoute(_ALL, self.list_all, methods=["GET"]),
            AnyCaseRoute(_ALL + "/", self.list_all, methods=["GET"]),
            AnyCaseRoute(_ONE, self.put, methods=["PUT"]),
            AnyCaseRoute(_ONE, self.get, methods=["GET"]),
            AnyCaseRoute(_ONE, self.head, methods=["HEAD"]),
            AnyCaseRoute(_ONE, self.delete, methods=["DELETE"]),
            AnyCaseRoute(_ONE + "/validate", self.validate, methods=["POST"]),
            AnyCaseRoute(_ONE + "/cancel", self.cancel, methods=["POST"]),
            AnyCaseRoute(_ONE + "/operationStatuses/{status}", self.status, methods=["GET"]),
            *(
                route
                for path in (_ONE + "/operations", _OPERATIONS)  # the SDKs use the short one
                for route in (
                    AnyCaseRoute(path, self.list_operations, methods=["GET"]),
                    AnyCaseRoute(path + "/{operation}", self.get_operation, methods=["GET"]),
                )
            ),
        )

    async def put(self, request: Request) -> Response:
        group, name = self._names(request)
        body = await read_json(request)
        text = (await request.body()).decode(errors="replace")
        record, is_new = self._deployments.put(group, name, body, _finder(text))
        url = own_url(request, f"{record.id}/operationStatuses/{record.status_id}")
        headers = {"Azure-AsyncOperation": url}
        return JSONResponse(record.show(), status_code=201 if is_new else 200, headers=headers)

    async def validate(self, request: Request) -> Response:
        group, name = self._names(request)
        body = await read_json(request)
        properties = self._deployments.validate(
            group, name, body, _finder((await request.body()).decode(errors="replace"))
        )
        full = f"/subscriptions/{self._subscription.id}/resourceGroups/{group}"
        shown = {
            "id": f"{full}/providers/Microsoft.Resources/deployments/{name}",
            "name": name,
            "type": "Microsoft.Resources/deployments",
            "properties": properties,
        }
        return JSONResponse(shown)

    async def get(self, request: Request) -> Response:
        return JSONResponse(self._record(request).show())

    async def head(self, request: Request) -> Response:
        self._record(request)
        return Response(status_code=204)

    async def list_all(self, request: Request) -> Response:
        self._subscription.require(request.path_params["subscription"])
        records = self._deployments.list_all(request.path_params["group"])
        return JSONResponse({"value": [record.show() for record in records]})

    async def delete(self, request: Request) -> Response:
        """Gone at once, so there is nothing to poll."""
        await self._deployments.delete(*self._names(request))
        return Response(status_code=204)

    async def cancel(self, request: Request) -> Response:
        await self._deployments.cancel(*self._names(request))
        return Response(status_code=204)

    async def status(self, request: Request) -> Response:
        record = self._record(request)
        if request.path_params["status"] != record.status_id:
            raise ArmError(404, "DeploymentOperationNotFound", "The deployment operation could not be found.")
        return JSONResponse(self._deployments.status(record))

    async def list_operations(self, request: Request) -> Response:
        return JSONResponse({"value": list(self._record(request).operations)})

    async def get_operation(self, request: Request) -> Response:
        wanted = request.path_params["operation"].lower()
        for entry in self._record(request).operations:
            if entry["operationId"].lower() == wanted:
                return JSONResponse(entry)
        raise ArmError(404, "DeploymentOperationNotFound", f"The operation '{wanted}' could not be found.")

    def _record(self, request: Request) -> DeploymentRecord:
        return self._deployments.require(*self._names(request))

    def _names(self, request: Request) -> tuple[str, str]:
        self._subscription.require(request.path_params["subscription"])
        return request.path_params["group"], request.path_params["name"]


def _finder(text: str) -> Locate:
    """Finds where a template's parameter is declared in the request."""

    def find(parameter: str) -> Position | None:
        return locate(text, "properties", "template", "parameters", parameter)

    return find
