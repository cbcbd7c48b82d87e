"""HTTP routes of the tags of a subscription, a resource group or a resource. `tags.py` validates them."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from containerapps_emulator.arm.http import AnyCaseRoute, read_json
from containerapps_emulator.arm.resources.groups import Groups
from containerapps_emulator.arm.resources.paths import parse_resource_id
from containerapps_emulator.arm.resources.resource import ArmError, ResourceId
from containerapps_emulator.arm.resources.resources import Resources
from containerapps_emulator.arm.resources.tags import checked_tags
from containerapps_emulator.arm.subscription import Subscription
from containerapps_emulator.state import Json, State

_PATH = "/{scope:path}/providers/Microsoft.Resources/tags/default"
_KIND = "subscription-tags"


class TagRoutes:
    """Read, replace, merge and remove tags."""

    def __init__(
        self, subscription: Subscription, groups: Groups, resources: Resources, state: State
    ) -> None:
        self._subscription = subscription
        self._groups = groups
        self._resources = resources
        self._state = state
        self.routes: tuple[BaseRoute, ...] = (
            AnyCaseRoute(_PATH, self.get, methods=["GET"]),
            AnyCaseRoute(_PATH, self.put, methods=["PUT"]),
            AnyCaseRoute(_PATH, self.patch, methods=["PATCH"]),
            AnyCaseRoute(_PATH, self.delete, methods=["DELETE"]),
        )

    async def get(self, request: Request) -> Response:
        target = self._target(request)
        return self._answer(request, self._tags(target))

    async def put(self, request: Request) -> Response:
        target = self._target(request)
        return self._answer(request, await self._write(target, _given(await read_json(request))))

    async def patch(self, request: Request) -> Response:
        """Replace, merge, or delete the tags with these names and values."""
        target = self._target(request)
        body = await read_json(request)
        given, known = _given(body), self._tags(target)
        match str(body.get("operation")).lower():
            case "replace":
                wanted = given
            case "merge":
                wanted = {**known, **given}
            case "delete":
                wanted = {key: value for key, value in known.items() if given.get(key, None) != value}
            case other:
                raise ArmError(
                    400,
                    "InvalidRequestContent",
                    f"The 'operation' '{other}' is not Replace, Merge or Delete.",
                )
        return self._answer(request, await self._write(target, wanted))

    async def delete(self, request: Request) -> Response:
        await self._write(self._target(request), {})
        return Response(status_code=200)

    def _target(self, request: Request) -> ResourceId | None:
        """The resource or group with the tags; None for the subscription."""
        scope = "/" + request.path_params["scope"].strip("/")
        segments = scope.split("/")
        if segments[1].lower() != "subscriptions" or len(segments) < 3:
            raise ArmError(404, "InvalidResourcePath", f"The path '{request.url.path}' is not a resource.")
        self._subscription.require(segments[2])
        target = parse_resource_id(scope)
        if target is None and len(segments) > 3:
            raise ArmError(404, "InvalidResourcePath", f"The path '{request.url.path}' is not a resource.")
        return target

    def _tags(self, target: ResourceId | None) -> Json:
        if target is None:
            return self._state.get(_KIND, self._subscription.id) or {}
        if not target.group:
            return self._groups.require(target.name).get("tags") or {}
        return self._resources.get(target).get("tags") or {}

    async def _write(self, target: ResourceId | None, tags: Json) -> Json:
        if target is None:
            self._state.put(_KIND, self._subscription.id, tags)
        elif not target.group:
            self._groups.patch(target.name, {"tags": tags})
        else:
            removed = dict.fromkeys(self._tags(target))
            await self._resources.patch(target, {"tags": {**removed, **tags}})
        return tags

    def _answer(self, request: Request, tags: Json) -> Response:
        return JSONResponse(
            {
                "id": request.url.path,
                "name": "default",
                "type": "Microsoft.Resources/tags",
                "properties": {"tags": tags},
            }
        )


def _given(body: Json) -> Json:
    properties: Any = body.get("properties")
    tags = checked_tags(properties) if isinstance(properties, dict) else None
    if tags is None:
        raise ArmError(400, "InvalidRequestContent", "The request content was invalid: no 'properties.tags'.")
    return tags
