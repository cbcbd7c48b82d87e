"""Authentication of ARM: the token in connection.json, and App Service's tokens for a managed identity.

The second kind is for clients that sign in themselves and read their token, such as the Azure CLI.
"""

from __future__ import annotations

import hmac
import secrets
import time
import uuid
from collections.abc import Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from containerapps_emulator import jwt
from containerapps_emulator.arm.http import AnyCaseRoute
from containerapps_emulator.arm.subscription import Subscription
from containerapps_emulator.state import Json, State

PATH: Final = "/msi/token"
_LIFETIME_SECONDS: Final = 24 * 3600
_NAMESPACE: Final = uuid.UUID("3f0f5a52-6d6d-4c43-9a3e-9df2a4a0c10d")
STORAGE: Final = "https://storage.azure.com"
PRINCIPAL: Final = str(uuid.uuid5(_NAMESPACE, "principal"))
_CLIENT: Final = str(uuid.uuid5(_NAMESPACE, "client"))


class Identity:
    """Tokens and the secret to request one, kept on disk so that a client's token survives a restart."""

    def __init__(
        self, state: State, subscription: Subscription, now: Callable[[], float] = time.time
    ) -> None:
        self._subscription = subscription
        self._now = now
        self.token = _kept(state, "token")
        self.header = _kept(state, "identity-header")
        self._key = _kept(state, "identity-key").encode()
        self.routes: tuple[BaseRoute, ...] = (AnyCaseRoute(PATH, self.answer, methods=["GET"]),)

    def accepts(self, token: str) -> bool:
        """Whether a bearer token is valid. Compares in constant time."""
        if hmac.compare_digest(token.encode(), self.token.encode()):
            return True
        claims = jwt.read(token, self._key)
        return claims is not None and claims["exp"] > self._now()

    async def answer(self, request: Request) -> Response:
        """App Service's token endpoint: a secret in a header, the requested audience in the query."""
        header = request.headers.get("x-identity-header", "")
        if not hmac.compare_digest(header.encode(), self.header.encode()):
            return _refusal(401, "Unauthorized", "The X-IDENTITY-HEADER is missing or wrong.")
        audience = request.query_params.get("resource")
        if not audience:
            return _refusal(400, "BadRequest", "The query parameter 'resource' is required.")
        return JSONResponse(self.issue(audience))

    def claims(self, token: str) -> Json:
        """What a signed token says; nothing for one that is not valid.

        The one in connection.json is the same person's, and is for the storage of this cloud too.
        """
        if hmac.compare_digest(token.encode(), self.token.encode()):
            return {"aud": STORAGE, "oid": PRINCIPAL, "tid": self._subscription.tenant_id}
        claims = jwt.read(token, self._key)
        return claims if claims is not None and claims["exp"] > self._now() else {}

    def issue(self, audience: str, principal: str = PRINCIPAL, client: str = _CLIENT, of: str = "") -> Json:
        """A token as the endpoint returns it, of the identity with the resource id `of`."""
        now = int(self._now())
        expires = now + _LIFETIME_SECONDS
        claims = {
            "aud": audience,
            "iss": f"https://sts.windows.net/{self._subscription.tenant_id}/",
            "iat": now,
            "nbf": now,
            "exp": expires,
            "tid": self._subscription.tenant_id,
            "oid": principal,
            "appid": client,
            "idtyp": "app",
            "xms_mirid": of
            or f"/subscriptions/{self._subscription.id}/resourcegroups/local"
            "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/local-cloud",
        }
        return {
            "access_token": jwt.sign(claims, self._key),
            "expires_on": str(expires),
            "resource": audience,
            "token_type": "Bearer",
            "client_id": client,
        }


def _refusal(status: int, code: str, message: str) -> Response:
    return JSONResponse({"statusCode": status, "code": code, "message": message}, status_code=status)


def _kept(state: State, name: str) -> str:
    known = state.get("cloud", name)
    if known is None:
        known = {"value": secrets.token_urlsafe(32)}
        state.put("cloud", name, known)
    return str(known["value"])
