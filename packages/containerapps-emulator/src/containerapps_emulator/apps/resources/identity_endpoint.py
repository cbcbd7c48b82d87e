"""The token endpoint that a program finds in IDENTITY_ENDPOINT: tokens of its app's or job's identities.

Answers as App Service does, which Container Apps follow. Signs nothing itself.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from containerapps_emulator import jwt
from containerapps_emulator.apps.documents.identity import Assigned, assigned
from containerapps_emulator.apps.documents.records import Records
from containerapps_emulator.state import Json, State

PATH: Final = "/msi/apps/token"
KIND: Final = "apps.identity-key"
Issue = Callable[[str, str, str, str], Json]
"""(audience, principal id, client id, resource id) → the answer with a token."""


class IdentityEndpoint:
    """The secret that a program sends is signed, and names its app or job: it outlives a restart."""

    def __init__(self, state: State, records: Records, url: Callable[[], str], issue: Issue) -> None:
        self._records = records
        self._url = url
        self._issue = issue
        stored = state.get(KIND, "key")
        if stored is None:
            stored = {"key": secrets.token_hex(32)}
            state.put(KIND, "key", stored)
        self._key = bytes.fromhex(stored["key"])
        self.routes = (Route(PATH, self.answer, methods=["GET"]),)

    def variables(self, key: str) -> Mapping[str, str]:
        """What a program of an app or a job is told; nothing where that has no identity."""
        if not assigned(self._records.identity(key), key):
            return {}
        endpoint, header = f"{self._url()}{PATH}", jwt.sign({"sub": key}, self._key)
        return {
            "IDENTITY_ENDPOINT": endpoint,
            "IDENTITY_HEADER": header,
            "MSI_ENDPOINT": endpoint,
            "MSI_SECRET": header,
        }

    async def answer(self, request: Request) -> Response:
        header = request.headers.get("x-identity-header") or request.headers.get("secret") or ""
        claims = jwt.read(header, self._key)
        if claims is None:
            return _refusal(401, "The X-IDENTITY-HEADER is missing or is not the one in IDENTITY_HEADER.")
        query = {name.lower(): value for name, value in request.query_params.items()}
        if not query.get("resource"):
            return _refusal(400, "The parameter resource is missing: the audience that the token is for.")
        key = claims["sub"]
        chosen = _chosen(assigned(self._records.identity(key), key), query)
        if chosen is None:
            return _refusal(400, "Unable to load the proper Managed Identity.")
        answer = self._issue(query["resource"], chosen.principal_id, chosen.client_id, chosen.resource_id)
        return JSONResponse(answer)


def _chosen(identities: tuple[Assigned, ...], query: Mapping[str, str]) -> Assigned | None:
    """The identity that the query names; the system-assigned one where it names none."""
    for names, attribute in (
        (("client_id", "clientid"), "client_id"),
        (("principal_id", "object_id"), "principal_id"),
        (("mi_res_id", "msi_res_id"), "resource_id"),
    ):
        for name in names:
            if wanted := query.get(name, "").lower():
                found = (item for item in identities if getattr(item, attribute).lower() == wanted)
                return next(found, None)
    return next((item for item in identities if item.is_system), None)


def _refusal(status: int, message: str) -> Response:
    body = {"statusCode": status, "message": message, "correlationId": str(uuid.uuid4())}
    return JSONResponse(body, status_code=status)
