"""HTTP for resources of every service: one set of routes, since all of them are answered alike."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from remora.localcloud.arm import wire
from remora.localcloud.arm.groups import Groups
from remora.localcloud.arm.http import AnyCaseRoute, read_json
from remora.localcloud.arm.operations import IN_PROGRESS, Operations
from remora.localcloud.arm.paths import ResourcePath, parse_resource_id, parse_resource_path
from remora.localcloud.arm.provider_answers import resource_json
from remora.localcloud.arm.registry import Registry
from remora.localcloud.arm.resource import ArmError, ResourceId, Wire
from remora.localcloud.arm.resources import Resources
from remora.localcloud.arm.subscription import Subscription

_IN_GROUP = "/subscriptions/{subscription}/resourceGroups/{group}/providers/{path:path}"
_IN_SUBSCRIPTION = "/subscriptions/{subscription}/providers/{path:path}"
_OPERATION = "/subscriptions/{subscription}/providers/{namespace}/locations/{location}/{segment}/{operation}"


class ResourceRoutes:
    """GET, PUT, PATCH, DELETE, POST on resources, and polling of their operations."""

    def __init__(
        self,
        *,
        subscription: Subscription,
        registry: Registry,
        resources: Resources,
        operations: Operations,
        groups: Groups,
    ) -> None:
        self._subscription = subscription
        self._registry = registry
        self._resources = resources
        self._operations = operations
        self._groups = groups
        self.routes = (
            AnyCaseRoute(_OPERATION, self.poll, methods=["GET"]),
            AnyCaseRoute(_IN_GROUP, self.get, methods=["GET"]),
            AnyCaseRoute(_IN_GROUP, self.head, methods=["HEAD"]),
            AnyCaseRoute(_IN_GROUP, self.put, methods=["PUT"]),
            AnyCaseRoute(_IN_GROUP, self.patch, methods=["PATCH"]),
            AnyCaseRoute(_IN_GROUP, self.delete, methods=["DELETE"]),
            AnyCaseRoute(_IN_GROUP, self.post, methods=["POST"]),
            AnyCaseRoute(_IN_SUBSCRIPTION, self.list_in_subscription, methods=["GET"]),
        )

    async def get(self, request: Request) -> Response:
        path = self._path(request)
        if path.tail is None:
            return resource_json(request, self._resources.get(self._id(request, path)))
        if path.names:
            children = self._resources.list_children(self._id(request, path), path.tail)
            return resource_json(request, {"value": children})
        group = self._groups.show(self._groups.require(request.path_params["group"]))
        found = self._resources.list_all(group["id"], self._collection(path))
        return resource_json(request, {"value": found})

    async def head(self, request: Request) -> Response:
        self._resources.get(self._id(request, self._path(request)))
        return Response(status_code=204)

    async def put(self, request: Request) -> Response:
        identity = self._id(request, self._path(request))
        change = await self._resources.put(identity, await read_json(request))
        handler = self._registry.stored(identity.type)
        shown = self._resources.show(change.record)
        put_wire = handler.put_wire if handler else Wire.SYNC
        return wire.put_response(
            request, put_wire, change.record.id, shown, change.operation, new=change.is_new
        )

    async def patch(self, request: Request) -> Response:
        identity = self._id(request, self._path(request))
        change = await self._resources.patch(identity, await read_json(request))
        shown = self._resources.show(change.record)
        return wire.patch_response(request, change.record.id, shown, change.operation)

    async def delete(self, request: Request) -> Response:
        identity = self._id(request, self._path(request))
        location = self._groups.require(identity.group)["location"]
        existed, operation = await self._resources.delete(identity)
        return wire.delete_response(request, identity, location, operation, existed=existed)

    async def post(self, request: Request) -> Response:
        path = self._path(request)
        if path.tail is None or not path.names:
            raise ArmError(405, "MethodNotAllowed", "POST is for actions: …/{name}/{action}.")
        answer = await self._resources.action(self._id(request, path), path.tail, await read_json(request))
        return Response(status_code=200) if answer is None else resource_json(request, answer)

    async def list_in_subscription(self, request: Request) -> Response:
        path = self._path(request)
        if path.tail is None or path.names:
            raise ArmError(404, "InvalidResourceType", f"'{request.url.path}' is not a list of resources.")
        scope = f"/subscriptions/{request.path_params['subscription']}"
        return resource_json(request, {"value": self._resources.list_all(scope, self._collection(path))})

    async def poll(self, request: Request) -> Response:
        """Both styles at once: a status body, or (`monitor`) the way to the result."""
        operation = self._operations.get(request.path_params["operation"])
        if operation is None:
            name = request.path_params["operation"]
            raise ArmError(404, "OperationNotFound", f"The operation '{name}' could not be found.")
        if wire.asks_for_status(request):
            return JSONResponse(wire.status_body(request, operation))
        if operation.status == IN_PROGRESS:
            return wire.go_on(request)
        if operation.error is not None:
            return JSONResponse({"error": operation.error}, status_code=operation.error_status)
        target = parse_resource_id(operation.target)
        if operation.kind != "put" or target is None:
            return Response(status_code=204)
        return resource_json(request, self._resources.get(target))

    def _path(self, request: Request) -> ResourcePath:
        self._subscription.require(request.path_params["subscription"])
        if "group" in request.path_params:
            self._groups.require(request.path_params["group"])
        path = parse_resource_path(request.path_params["path"])
        if path is None:
            raise ArmError(404, "InvalidResourcePath", f"The path '{request.url.path}' is not a resource.")
        self._registry.namespace(path.namespace)
        return path

    def _collection(self, path: ResourcePath) -> str:
        return self._registry.spelled(f"{path.namespace}/{path.tail}")

    def _id(self, request: Request, path: ResourcePath) -> ResourceId:
        if not path.names:
            raise ArmError(405, "MethodNotAllowed", f"'{request.url.path}' is not a resource.")
        full_type = self._registry.spelled(path.type)
        return ResourceId(self._subscription.id, request.path_params["group"], full_type, path.names)
