"""HTTP routes of role assignments and role definitions, at any scope, and of what a policy restricts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from containerapps_emulator.arm.http import AnyCaseRoute, read_json
from containerapps_emulator.arm.resources.built_in import ROLE_ASSIGNMENT
from containerapps_emulator.arm.resources.paths import parse_resource_id
from containerapps_emulator.arm.resources.resource import ArmError, ResourceId
from containerapps_emulator.arm.resources.role_assignments import ROLES, RoleAssignments, is_below, scope_of
from containerapps_emulator.arm.resources.store import Record, ResourceStore
from containerapps_emulator.state import Json

_ASSIGNMENTS: Final = "/{scope:path}/providers/Microsoft.Authorization/roleAssignments"
_DEFINITIONS: Final = "/{scope:path}/providers/Microsoft.Authorization/roleDefinitions"
_RESTRICTIONS: Final = "/{scope:path}/providers/Microsoft.PolicyInsights/checkPolicyRestrictions"
_OF_PRINCIPAL: Final = re.compile(r"(?:principalId\s+eq\s+|assignedTo\(\s*)'([^']+)'", re.IGNORECASE)
_OF_ROLE: Final = re.compile(r"roleName\s+eq\s+'([^']+)'", re.IGNORECASE)
_SCOPES: Final = re.compile(r"/subscriptions/[^/]+(?:/resourceGroups/[^/]+)?", re.IGNORECASE)
_KEYS_FIELD: Final = "Microsoft.Storage/storageAccounts/allowSharedKeyAccess"
_POLICIES: Final = "/providers/Microsoft.Authorization/policyDefinitions"
_KEYS_POLICY: Final = f"{_POLICIES}/8c6a50c6-9ffd-4ae7-986f-5fa6111f9a54"


class AuthorizationRoutes:
    def __init__(
        self, store: ResourceStore, assignments: RoleAssignments, forbids_keys: Callable[[], bool]
    ) -> None:
        """`forbids_keys` says whether a policy forbids the keys of storage accounts."""
        self._store = store
        self._assignments = assignments
        self._forbids_keys = forbids_keys
        self.routes = (
            AnyCaseRoute(_ASSIGNMENTS, self.list, methods=["GET"]),
            AnyCaseRoute(f"{_ASSIGNMENTS}/{{name}}", self.get, methods=["GET"]),
            AnyCaseRoute(f"{_ASSIGNMENTS}/{{name}}", self.put, methods=["PUT"]),
            AnyCaseRoute(f"{_ASSIGNMENTS}/{{name}}", self.delete, methods=["DELETE"]),
            AnyCaseRoute(_DEFINITIONS, self.definitions, methods=["GET"]),
            AnyCaseRoute(f"{_DEFINITIONS}/{{name}}", self.definition, methods=["GET"]),
            AnyCaseRoute(_RESTRICTIONS, self.restrictions, methods=["POST"]),
        )

    async def list(self, request: Request) -> Response:
        """All that count at the scope, and unless `atScope()` is asked for those below it."""
        scope, text = self._scope(request), request.query_params.get("$filter", "")
        of = _OF_PRINCIPAL.search(text)
        found = [
            self._assignments.show(record.id, record.document)
            for record in self._assignments.all()
            if is_below(scope, scope_of(record.id))
            or ("atscope" not in text.lower() and is_below(scope_of(record.id), scope))
        ]
        if of is not None:
            found = [each for each in found if each["properties"]["principalId"].lower() == of[1].lower()]
        return JSONResponse({"value": found})

    async def get(self, request: Request) -> Response:
        record = self._store.get(self._id(request))
        if record is None:
            name = request.path_params["name"]
            raise ArmError(404, "RoleAssignmentNotFound", f"The role assignment '{name}' is not found.")
        return JSONResponse(self._assignments.show(record.id, record.document))

    async def put(self, request: Request) -> Response:
        identity = self._id(request)
        known = self._store.get(identity)
        document = self._assignments.accept(
            identity, await read_json(request), known.document if known else None
        )
        self._store.put(Record(identity, document, created=True))
        return JSONResponse(self._assignments.show(identity, document), status_code=201)

    async def delete(self, request: Request) -> Response:
        record = self._store.get(self._id(request))
        if record is None:
            return Response(status_code=204)
        self._store.delete(record.id)
        return JSONResponse(self._assignments.show(record.id, record.document))

    async def definitions(self, request: Request) -> Response:
        named = _OF_ROLE.search(request.query_params.get("$filter", ""))
        shown = [_definition(request, name) for name in ROLES]
        if named is not None:
            shown = [each for each in shown if each["properties"]["roleName"].lower() == named[1].lower()]
        return JSONResponse({"value": shown})

    async def definition(self, request: Request) -> Response:
        name = request.path_params["name"].lower()
        if name not in ROLES:
            raise ArmError(404, "RoleDefinitionDoesNotExist", f"There is no role definition '{name}' here.")
        return JSONResponse(_definition(request, name))

    async def restrictions(self, request: Request) -> Response:
        """What a policy says of a resource that is to be created: the keys of storage accounts only."""
        details: Json = (await read_json(request)).get("resourceDetails") or {}
        content = details.get("resourceContent") or {}
        kind = str(content.get("type", "")) if isinstance(content, dict) else ""
        denies = kind.lower() == "microsoft.storage/storageaccounts" and self._forbids_keys()
        policy = {"policyDefinitionId": _KEYS_POLICY, "policyAssignmentId": self._scope(request)}
        restriction = {"result": "Required", "values": ["false"], "policy": policy, "policyEffect": "Deny"}
        fields = [{"field": _KEYS_FIELD, "restrictions": [restriction]}] if denies else []
        evaluated: Json = {"policyEvaluations": []}
        return JSONResponse({"fieldRestrictions": fields, "contentEvaluationResult": evaluated})

    def _scope(self, request: Request) -> str:
        """The scope in the spelling of the resource that it is. Raises ArmError 404 without that resource."""
        scope = f"/{request.path_params['scope']}"
        if _SCOPES.fullmatch(scope):
            return scope
        owner = parse_resource_id(scope)
        record = self._store.get(owner) if owner is not None else None
        if record is None:
            raise ArmError(404, "ResourceNotFound", f"The resource '{scope}' was not found.")
        return str(record.id)

    def _id(self, request: Request) -> ResourceId:
        scope, name = self._scope(request), request.path_params["name"]
        parts = scope.split("/")
        if not _SCOPES.fullmatch(scope):
            return ResourceId(parts[2], parts[4], ROLE_ASSIGNMENT, (name,), scope)
        return ResourceId(parts[2], parts[4] if len(parts) > 4 else "", ROLE_ASSIGNMENT, (name,))


def _definition(request: Request, name: str) -> Json:
    path = f"/providers/Microsoft.Authorization/roleDefinitions/{name}"
    properties = {"roleName": ROLES[name].name, "type": "BuiltInRole", "assignableScopes": ["/"]}
    return {
        "id": f"/{request.path_params['scope']}{path}",
        "name": name,
        "type": "Microsoft.Authorization/roleDefinitions",
        "properties": properties,
    }
