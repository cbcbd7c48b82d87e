"""HTTP for what is above resources: subscriptions, tenants, regions, resource groups."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from remora.localcloud.arm.filters import filtered
from remora.localcloud.arm.group_deletion import GroupDeletion
from remora.localcloud.arm.groups import Groups
from remora.localcloud.arm.http import AnyCaseRoute, operation_result_url, read_json
from remora.localcloud.arm.locations import LOCATIONS
from remora.localcloud.arm.operations import IN_PROGRESS, Operations
from remora.localcloud.arm.resource import ArmError
from remora.localcloud.arm.resources import Resources
from remora.localcloud.arm.subscription import Subscription
from remora.localcloud.state import Json

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
        prefix = f"/subscriptions/{self._subscription.id}/locations"
        regions = [
            {
                "id": f"{prefix}/{name}",
                "name": name,
                "type": "Region",
                "displayName": shown,
                "regionalDisplayName": shown,
                "metadata": {"regionType": "Physical", "regionCategory": "Recommended"},
            }
            for name, shown in LOCATIONS.items()
        ]
        return JSONResponse({"value": regions})

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
        """Of the subscription, or of one group."""
        scope = f"/subscriptions/{self._subscription.id}"
        group = self._require(request)
        if group:
            scope = self._groups.show(self._groups.require(group))["id"]
        return JSONResponse({"value": filtered(self._resources.list_top(scope), request.query_params)})

    async def result(self, request: Request) -> Response:
        """How the deletion of a group goes, or what a question with a late answer gave."""
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
        headers = {"Location": operation_result_url(request, operation_id), "Retry-After": "0"}
        return Response(status_code=202, headers=headers)

    def _require(self, request: Request) -> str:
        """The group's name in the path, if any, once the subscription is known to be ours."""
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
