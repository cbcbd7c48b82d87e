"""HTTP routes of subscriptions, tenants, regions and resource groups. They own no resource."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from containerapps_emulator.arm.deployments.group_deletion import GroupDeletion
from containerapps_emulator.arm.http import AnyCaseRoute, operation_result_url, read_json
from containerapps_emulator.arm.locations import shown_locations
from containerapps_emulator.arm.operations import IN_PROGRESS, Operations
from containerapps_emulator.arm.resources.filters import filtered
from containerapps_emulator.arm.resources.groups import Groups
from containerapps_emulator.arm.resources.provider_answers import asked_version
from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.arm.resources.resources import Resources
from containerapps_emulator.arm.subscription import Subscription
from containerapps_emulator.state import Json

_SUBSCRIPTION = "/subscriptions/{subscription}"
_GROUP = "/subscriptions/{subscription}/resourceGroups/{group}"
_RESULT = "/subscriptions/{subscription}/operationresults/{operation}"


class SubscriptionRoutes:
    """The subscription and its resource groups."""

    def __init__(
        self,
        *,
        subscription: Subscription,
        resources: Resources,
        operations: Operations,
        groups: Groups,
        group_deletion: GroupDeletion,
    ) -> None:
        self._subscription = subscription
        self._resources = resources
        self._operations = operations
        self._groups = groups
        self._group_deletion = group_deletion
        self.routes = (
            AnyCaseRoute("/tenants", self.tenants, methods=["GET"]),
            AnyCaseRoute("/subscriptions", self.subscriptions, methods=["GET"]),
            AnyCaseRoute(_SUBSCRIPTION, self.get_subscription, methods=["GET"]),
            AnyCaseRoute(_SUBSCRIPTION + "/locations", self.locations, methods=["GET"]),
            AnyCaseRoute(_SUBSCRIPTION + "/resourceGroups", self.list_groups, methods=["GET"]),
            AnyCaseRoute(_SUBSCRIPTION + "/resources", self.list_resources, methods=["GET"]),
            AnyCaseRoute(_GROUP, self.put_group, methods=["PUT"]),
            AnyCaseRoute(_GROUP, self.get_group, methods=["GET"]),
            AnyCaseRoute(_GROUP, self.head_group, methods=["HEAD"]),
            AnyCaseRoute(_GROUP, self.patch_group, methods=["PATCH"]),
            AnyCaseRoute(_GROUP, self.delete_group, methods=["DELETE"]),
            AnyCaseRoute(_GROUP + "/resources", self.list_resources, methods=["GET"]),
            AnyCaseRoute(_RESULT, self.result, methods=["GET"]),
        )

    async def tenants(self, _: Request) -> Response:
        tenant = self._subscription.tenant_id
        shown = {"id": f"/tenants/{tenant}", "tenantId": tenant, "displayName": self._subscription.name}
        return JSONResponse({"value": [shown]})

    async def subscriptions(self, _: Request) -> Response:
        return JSONResponse({"value": [self._show_subscription()], "count": {"type": "Total", "value": 1}})

    async def get_subscription(self, request: Request) -> Response:
        self._require(request)
        return JSONResponse(self._show_subscription())

    async def locations(self, request: Request) -> Response:
        self._require(request)
        shown = shown_locations(self._subscription.id, asked_version(request))
        return JSONResponse({"value": shown})

    async def list_groups(self, request: Request) -> Response:
        self._require(request)
        groups = [self._groups.show(group) for group in self._groups.list()]
        return JSONResponse({"value": filtered(groups, request.query_params)})

    async def put_group(self, request: Request) -> Response:
        group, is_new = self._groups.put(self._require(request), await read_json(request))
        return JSONResponse(self._groups.show(group), status_code=201 if is_new else 200)

    async def get_group(self, request: Request) -> Response:
        return JSONResponse(self._groups.show(self._groups.require(self._require(request))))

    async def head_group(self, request: Request) -> Response:
        self._groups.require(self._require(request))
        return Response(status_code=204)

    async def patch_group(self, request: Request) -> Response:
        group = self._groups.patch(self._require(request), await read_json(request))
        return JSONResponse(self._groups.show(group))

    async def delete_group(self, request: Request) -> Response:
        operation = self._group_deletion.begin(self._require(request))
        return self._accepted(request, operation.id)

    async def list_resources(self, request: Request) -> Response:
        """List the resources of the subscription or of one group."""
        scope = f"/subscriptions/{self._subscription.id}"
        group = self._require(request)
        if group:
            scope = self._groups.show(self._groups.require(group))["id"]
        return JSONResponse({"value": filtered(self._resources.list_top(scope), request.query_params)})

    async def result(self, request: Request) -> Response:
        """The progress of a group's deletion, or the result of an asynchronous query such as what-if."""
        self._require(request)
        operation = self._operations.get(request.path_params["operation"])
        if operation is None:
            raise ArmError(404, "OperationNotFound", "The operation could not be found.")
        if operation.status == IN_PROGRESS:
            return self._accepted(request, operation.id)
        if operation.error is not None:
            return JSONResponse({"error": operation.error}, status_code=operation.error_status)
        return Response(status_code=200) if operation.result is None else JSONResponse(operation.result)

    def _accepted(self, request: Request, operation_id: str) -> Response:
        # Azure says 15. Its Python client takes 0 as "not said" and then waits 30 s; the CLI too.
        headers = {"Location": operation_result_url(request, operation_id), "Retry-After": "1"}
        return Response(status_code=202, headers=headers)

    def _require(self, request: Request) -> str:
        """The group's name in the path, if any, after a check of the subscription."""
        self._subscription.require(request.path_params["subscription"])
        return str(request.path_params.get("group", ""))

    def _show_subscription(self) -> Json:
        policies = {"locationPlacementId": "Public_2014-09-01", "spendingLimit": "Off"}
        return {
            **self._subscription.show(),
            "state": "Enabled",
            "authorizationSource": "RoleBased",
            "subscriptionPolicies": policies,
        }
