"""HTTP routes of template deployments, to a resource group or to the subscription. They run none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from containerapps_emulator.arm.deployments.deployments import Deployments
from containerapps_emulator.arm.deployments.preparation import Locate, Request
from containerapps_emulator.arm.deployments.record import DeploymentRecord
from containerapps_emulator.arm.deployments.what_if import WhatIf
from containerapps_emulator.arm.http import AnyCaseRoute, operation_result_url, own_url, read_json
from containerapps_emulator.arm.lenient_json import Position, locate
from containerapps_emulator.arm.operations import Operations
from containerapps_emulator.arm.resources.place import Place
from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.arm.resources.tags import checked_tags
from containerapps_emulator.arm.subscription import Subscription
from containerapps_emulator.arm.templates.template_hash import exported, minified, template_hash
from containerapps_emulator.state import Json

_SUBSCRIPTION = "/subscriptions/{subscription}"
_GROUP = _SUBSCRIPTION + "/resourceGroups/{group}"
_DEPLOYMENTS = "/providers/Microsoft.Resources/deployments"
_STATE_FILTER = re.compile(r"\s*provisioningState\s+eq\s+'(\w+)'\s*", re.IGNORECASE)


class DeploymentRoutes:
    """Validate, preview, create, follow, cancel, export and delete deployments."""

    def __init__(
        self,
        subscription: Subscription,
        deployments: Deployments,
        what_if: WhatIf,
        operations: Operations,
    ) -> None:
        self._subscription = subscription
        self._deployments = deployments
        self._what_if = what_if
        self._operations = operations
        self.routes: tuple[BaseRoute, ...] = (
            AnyCaseRoute(
                "/providers/Microsoft.Resources/calculateTemplateHash", self.template_hash, methods=["POST"]
            ),
            *self._routes_at(_GROUP),
            *self._routes_at(_SUBSCRIPTION),
        )

    def _routes_at(self, level: str) -> Iterator[BaseRoute]:
        every = level + _DEPLOYMENTS
        one = every + "/{name}"
        yield AnyCaseRoute(every, self.list_all, methods=["GET"])
        yield AnyCaseRoute(every + "/", self.list_all, methods=["GET"])
        yield AnyCaseRoute(one, self.put, methods=["PUT"])
        yield AnyCaseRoute(one, self.get, methods=["GET"])
        yield AnyCaseRoute(one, self.head, methods=["HEAD"])
        yield AnyCaseRoute(one, self.delete, methods=["DELETE"])
        yield AnyCaseRoute(one + "/validate", self.validate, methods=["POST"])
        yield AnyCaseRoute(one + "/whatIf", self.what_if, methods=["POST"])
        yield AnyCaseRoute(one + "/cancel", self.cancel, methods=["POST"])
        yield AnyCaseRoute(one + "/exportTemplate", self.export, methods=["POST"])
        yield AnyCaseRoute(one + "/operationStatuses/{status}", self.status, methods=["GET"])
        for path in (one + "/operations", level + "/deployments/{name}/operations"):  # SDKs use the second
            yield AnyCaseRoute(path, self.list_operations, methods=["GET"])
            yield AnyCaseRoute(path + "/{operation}", self.get_operation, methods=["GET"])

    async def put(self, http: HttpRequest) -> Response:
        record, is_new = self._deployments.put(await self._request(http), await finder(http))
        url = own_url(http, f"{http.url.path}/operationStatuses/{record.status_id}")
        headers = {"Azure-AsyncOperation": url}
        return JSONResponse(record.show_accepted(), status_code=201 if is_new else 200, headers=headers)

    async def validate(self, http: HttpRequest) -> Response:
        return JSONResponse(self._deployments.validate(await self._request(http), await finder(http)))

    async def what_if(self, http: HttpRequest) -> Response:
        """Compute the result at once, but return a URL to fetch it from, as Azure does."""
        request = await self._request(http)
        result = self._what_if.ask(request, await finder(http))
        target = str(request.place.deployment_id(request.name))
        operation = self._operations.note("what-if", target, result)
        return Response(status_code=202, headers={"Location": operation_result_url(http, operation.id)})

    async def get(self, http: HttpRequest) -> Response:
        return JSONResponse(self._record(http).show())

    async def head(self, http: HttpRequest) -> Response:
        self._record(http)
        return Response(status_code=204)

    async def list_all(self, http: HttpRequest) -> Response:
        records = self._deployments.list_all(self._place(http))
        wanted = http.query_params.get("$filter")
        if wanted:
            match = _STATE_FILTER.fullmatch(wanted)
            if match is None:
                raise ArmError(400, "InvalidFilterInQueryString", f"The $filter '{wanted}' is not supported.")
            state = match[1].lower()
            records = [item for item in records if item.properties["provisioningState"].lower() == state]
        return JSONResponse({"value": [record.show() for record in records]})

    async def delete(self, http: HttpRequest) -> Response:
        """Delete at once, so that there is nothing to poll."""
        await self._deployments.delete(self._place(http), http.path_params["name"])
        return Response(status_code=204)

    async def cancel(self, http: HttpRequest) -> Response:
        await self._deployments.cancel(self._place(http), http.path_params["name"])
        return Response(status_code=204)

    async def export(self, http: HttpRequest) -> Response:
        return JSONResponse({"template": exported(self._record(http).template)})

    async def status(self, http: HttpRequest) -> Response:
        record = self._record(http)
        if http.path_params["status"] != record.status_id:
            raise ArmError(404, "DeploymentOperationNotFound", "The deployment operation could not be found.")
        return JSONResponse(self._deployments.status(record))

    async def list_operations(self, http: HttpRequest) -> Response:
        return JSONResponse({"value": list(self._record(http).operations)})

    async def get_operation(self, http: HttpRequest) -> Response:
        wanted = http.path_params["operation"].lower()
        for entry in self._record(http).operations:
            if entry["operationId"].lower() == wanted:
                return JSONResponse(entry)
        raise ArmError(404, "DeploymentOperationNotFound", f"The operation '{wanted}' could not be found.")

    async def template_hash(self, http: HttpRequest) -> Response:
        template = await read_json(http)
        return JSONResponse({"minifiedTemplate": minified(template), "templateHash": template_hash(template)})

    def _record(self, http: HttpRequest) -> DeploymentRecord:
        return self._deployments.require(self._place(http), http.path_params["name"])

    def _place(self, http: HttpRequest) -> Place:
        self._subscription.require(http.path_params["subscription"])
        return Place(self._subscription.id, http.path_params.get("group", ""))

    async def _request(self, http: HttpRequest) -> Request:
        place = self._place(http)
        body = await read_json(http)
        properties: Any = body.get("properties")
        return Request(
            place=place,
            name=http.path_params["name"],
            properties=properties if isinstance(properties, dict) else {},
            location=_text(body, "location"),
            tags=checked_tags(body),
        )


def _text(body: Json, key: str) -> str | None:
    value = body.get(key)
    if value is not None and not isinstance(value, str):
        message = f"The request content was invalid: '{key}' is not a string."
        raise ArmError(400, "InvalidRequestContent", message)
    return value


async def finder(http: HttpRequest) -> Locate:
    """A function that finds the position of a template parameter's declaration in the request."""
    text = (await http.body()).decode("utf-8-sig", errors="replace")

    def find(parameter: str) -> Position | None:
        return locate(text, "properties", "template", "parameters", parameter)

    return find
