"""HTTP routes of deployment stacks, of a resource group or of the subscription. They deploy nothing."""

from __future__ import annotations

from collections.abc import Iterator

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from containerapps_emulator.arm.http import AnyCaseRoute, own_url, read_json
from containerapps_emulator.arm.operations import IN_PROGRESS, Operation, Operations
from containerapps_emulator.arm.resources.place import Place
from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.arm.routes.deployments import finder
from containerapps_emulator.arm.stacks.record import StackRecord
from containerapps_emulator.arm.stacks.settings import Unmanage
from containerapps_emulator.arm.stacks.stacks import Stacks
from containerapps_emulator.arm.subscription import Subscription
from containerapps_emulator.arm.templates.template_hash import exported

_SUBSCRIPTION = "/subscriptions/{subscription}"
_GROUP = _SUBSCRIPTION + "/resourceGroups/{group}"
_STACKS = "/providers/Microsoft.Resources/deploymentStacks"
_LOCATED = _SUBSCRIPTION + "/providers/Microsoft.Resources/locations/{location}/"
_STATUS = _LOCATED + "deploymentStackOperationStatus/{operation}"
_RESULT = _LOCATED + "deploymentStackOperationResults/{operation}"
_FOLLOWED = ("stack", "delete-stack", "validate-stack")

_RETRY_SECONDS = "1"  # Azure says 0, which its clients for Python take for 30


class StackRoutes:
    """Validate, create, follow, list, export and delete stacks."""

    def __init__(self, subscription: Subscription, stacks: Stacks, operations: Operations) -> None:
        self._subscription = subscription
        self._stacks = stacks
        self._operations = operations
        self.routes: tuple[BaseRoute, ...] = (
            AnyCaseRoute(_STATUS, self.status, methods=["GET"]),
            AnyCaseRoute(_RESULT, self.result, methods=["GET"]),
            *self._routes_at(_GROUP),
            *self._routes_at(_SUBSCRIPTION),
        )

    def _routes_at(self, level: str) -> Iterator[BaseRoute]:
        one = f"{level}{_STACKS}/{{name}}"
        yield AnyCaseRoute(level + _STACKS, self.list_all, methods=["GET"])
        yield AnyCaseRoute(one, self.put, methods=["PUT"])
        yield AnyCaseRoute(one, self.get, methods=["GET"])
        yield AnyCaseRoute(one, self.delete, methods=["DELETE"])
        yield AnyCaseRoute(one + "/validate", self.validate, methods=["POST"])
        yield AnyCaseRoute(one + "/exportTemplate", self.export, methods=["POST"])

    async def put(self, http: HttpRequest) -> Response:
        record, operation, is_new = self._stacks.put(
            self._place(http), http.path_params["name"], await read_json(http), await finder(http)
        )
        url = self._url(http, _STATUS, operation, record.location)
        headers = {"Azure-AsyncOperation": url, "Retry-After": _RETRY_SECONDS}
        return JSONResponse(record.show(), status_code=201 if is_new else 200, headers=headers)

    async def validate(self, http: HttpRequest) -> Response:
        name, body = http.path_params["name"], await read_json(http)
        operation = self._stacks.validate(self._place(http), name, body, await finder(http))
        location = body.get("location")
        headers = {"Location": self._url(http, _RESULT, operation, location), "Retry-After": _RETRY_SECONDS}
        return Response(status_code=202, headers=headers)

    async def get(self, http: HttpRequest) -> Response:
        return JSONResponse(self._record(http).show())

    async def list_all(self, http: HttpRequest) -> Response:
        records = self._stacks.list_all(self._place(http))
        return JSONResponse({"value": [record.show() for record in records]})

    async def export(self, http: HttpRequest) -> Response:
        return JSONResponse({"template": exported(self._record(http).given["template"])})

    async def delete(self, http: HttpRequest) -> Response:
        place, name = self._place(http), http.path_params["name"]
        operation = self._stacks.delete(place, name, Unmanage.of_query(http.query_params))
        if operation is None:
            return Response(status_code=204)
        url = self._url(http, _STATUS, operation, self._stacks.require(place, name).location)
        return Response(status_code=202, headers={"Azure-AsyncOperation": url, "Retry-After": _RETRY_SECONDS})

    async def status(self, http: HttpRequest) -> Response:
        operation = self._operation(http)
        status = "running" if operation.status == IN_PROGRESS else operation.status.lower()
        shown = {"id": http.url.path, "name": operation.id, "status": status}
        return JSONResponse(shown | ({"error": operation.error} if operation.error else {}))

    async def result(self, http: HttpRequest) -> Response:
        return JSONResponse(self._operation(http).result)

    def _operation(self, http: HttpRequest) -> Operation:
        self._subscription.require(http.path_params["subscription"])
        operation = self._operations.get(http.path_params["operation"])
        if operation is None or operation.kind not in _FOLLOWED:
            raise ArmError(404, "OperationNotFound", "The operation could not be found.")
        return operation

    def _url(self, http: HttpRequest, form: str, operation: Operation, location: str | None) -> str:
        place = self._place(http)
        where = self._stacks.location_of(place, location)
        path = form.format(subscription=place.subscription, location=where, operation=operation.id)
        asked = {name: value for name, value in http.query_params.items() if name.lower() != "api-version"}
        return own_url(http, path, **asked)

    def _record(self, http: HttpRequest) -> StackRecord:
        return self._stacks.require(self._place(http), http.path_params["name"])

    def _place(self, http: HttpRequest) -> Place:
        self._subscription.require(http.path_params["subscription"])
        return Place(self._subscription.id, http.path_params.get("group", ""))
