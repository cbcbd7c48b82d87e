"""HTTP routes of all services' resources: one set, because all behave alike. They own no resource."""

from __future__ import annotations

import copy

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from containerapps_emulator.arm.http import AnyCaseRoute, read_json
from containerapps_emulator.arm.operations import IN_PROGRESS, Operations
from containerapps_emulator.arm.resources import wire
from containerapps_emulator.arm.resources.api_versions import repeats
from containerapps_emulator.arm.resources.groups import Groups
from containerapps_emulator.arm.resources.paths import ResourcePath, parse_resource_id, parse_resource_path
from containerapps_emulator.arm.resources.provider_answers import asked_version, resource_json
from containerapps_emulator.arm.resources.registry import Registry
from containerapps_emulator.arm.resources.resource import (
    Accepted,
    AnsweringHandler,
    ArmError,
    Ask,
    RepeatingHandler,
    ResourceId,
    Wire,
)
from containerapps_emulator.arm.resources.resources import Resources
from containerapps_emulator.arm.subscription import Subscription
from containerapps_emulator.state import Json

_IN_GROUP = "/subscriptions/{subscription}/resourceGroups/{group}/providers/{path:path}"
_IN_SUBSCRIPTION = "/subscriptions/{subscription}/providers/{path:path}"
ACTION = "action"
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
        if path.names:
            own = await self._own(request, path, {})
            if own is not None:
                return own
        if path.tail is None:
            shown = self._resources.get(self._id(request, path))
            return resource_json(request, shown, headers=self._etag(self._id(request, path), shown))
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
        path, body = self._path(request), await read_json(request)
        identity = self._id(request, path)
        own = await self._own(request, path, body)
        if own is not None:
            return own
        change = await self._resources.put(identity, copy.deepcopy(body))
        handler = self._registry.stored(identity.type)
        shown = self._resources.show(change.record)
        headers = self._etag(identity, shown)
        if isinstance(handler, AnsweringHandler):
            shown = handler.show_change(shown, body)
        elif isinstance(handler, RepeatingHandler) and repeats(identity.type, asked_version(request)):
            shown = handler.first_answer(change.record.id, body, change.record.document)
        put_wire = handler.put_wire if handler else Wire.SYNC
        response = wire.put_response(
            request, put_wire, change.record.id, shown, change.operation, new=change.is_new
        )
        response.headers.update(headers)
        return response

    async def patch(self, request: Request) -> Response:
        identity = self._id(request, self._path(request))
        change = await self._resources.patch(identity, await read_json(request))
        shown = self._resources.show(change.record)
        return wire.patch_response(request, change.record.id, shown, change.operation)

    async def delete(self, request: Request) -> Response:
        path = self._path(request)
        identity = self._id(request, path)
        own = await self._own(request, path, {})
        if own is not None:
            return own
        location = self._groups.require(identity.group)["location"]
        existed, operation = await self._resources.delete(identity)
        return wire.delete_response(request, identity, location, operation, existed=existed)

    async def post(self, request: Request) -> Response:
        path = self._path(request)
        if path.tail is None or not path.names:
            raise ArmError(405, "MethodNotAllowed", "POST is for actions: …/{name}/{action}.")
        body = await read_json(request)
        own = await self._own(request, path, body)
        if own is not None:
            return own
        identity = self._id(request, path)
        answer = await self._resources.action(identity, path.tail, body)
        if isinstance(answer, Accepted):
            operation = self._operations.note(ACTION, str(identity), answer.result)
            location = str(self._groups.require(identity.group)["location"])
            return wire.accepted(request, identity, location, operation)
        return Response(status_code=200) if answer is None else resource_json(request, answer)

    async def list_in_subscription(self, request: Request) -> Response:
        path = self._path(request)
        if path.tail is None or path.names:
            raise ArmError(404, "InvalidResourceType", f"'{request.url.path}' is not a list of resources.")
        scope = f"/subscriptions/{request.path_params['subscription']}"
        return resource_json(request, {"value": self._resources.list_all(scope, self._collection(path))})

    async def poll(self, request: Request) -> Response:
        """Serve both styles of polling: a status body, or (`monitor`) the result."""
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
        if operation.kind == ACTION:
            return resource_json(request, operation.result) if operation.result else Response()
        target = parse_resource_id(operation.target)
        if operation.kind != "put" or target is None:
            return Response(status_code=204)
        return resource_json(request, self._resources.get(target))

    async def _own(self, request: Request, path: ResourcePath, body: Json) -> Response | None:
        """The response to a request that only this type has. Raises ArmError without a parent."""
        identity = self._id(request, path)
        handler = self._registry.stored(identity.type)
        if path.tail and request.method == "GET":
            handler = self._registry.stored(f"{identity.type}/{path.tail}")
        if not isinstance(handler, AnsweringHandler):
            return None
        parent = identity.parent if handler.type == identity.type else identity
        owner = self._resources.find(parent) if parent else None
        if owner is None:
            return None
        target = owner if parent is identity else owner.child(handler.type.rpartition("/")[2], identity.name)
        query = {name.lower(): value for name, value in request.query_params.items()}
        ask = Ask(request.method, target, path.tail or "", query, dict(request.headers), body)
        answer = await handler.answer(ask)
        if answer is None:
            return None
        if answer.body is None:
            return Response(status_code=answer.status, headers=answer.headers, media_type="text/plain")
        return resource_json(request, answer.body, answer.status, answer.headers)

    def _etag(self, identity: ResourceId, shown: Json) -> dict[str, str]:
        is_tagged = isinstance(self._registry.stored(identity.type), AnsweringHandler) and "etag" in shown
        return {"ETag": shown["etag"]} if is_tagged else {}

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
