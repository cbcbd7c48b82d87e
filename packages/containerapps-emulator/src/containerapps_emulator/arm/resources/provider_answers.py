"""Marks responses that come from a resource provider rather than from Resource Manager in front of it.

Providers list the api-versions that they support. Which of them has a property is in `api_versions`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from containerapps_emulator.arm.resources.api_versions import cut
from containerapps_emulator.arm.resources.known_versions import VERSIONS
from containerapps_emulator.arm.resources.resource import ArmError

# These name the versions that they support in their answers; storage does not.
NAMING_VERSIONS: Final = ("microsoft.app", "microsoft.operationalinsights")
UNVERSIONED: Final = "microsoft.storage"
# Resource Manager itself returns these errors; the request never reaches the provider.
REFUSED_BEFORE: Final = frozenset(
    (
        "InvalidRequestContent",
        "InvalidResourceName",
        "InvalidResourceNamespace",
        "InvalidResourcePath",
        "InvalidResourceType",
        "LocationNotAvailableForResourceType",
        "LocationRequired",
        "MethodNotAllowed",
        "ParentResourceNotFound",
        "RequestContentTooLarge",
        "ResourceGroupBeingDeleted",
        "ResourceGroupNotFound",
        "ResourceNotFound",
        "SubscriptionNotFound",
    )
)
# The provider answers these without its header.
UNMARKED: Final = re.compile(r"/usages$|microsoft\.operationalinsights/locations/", re.IGNORECASE)


class ProviderAnswers:
    """Adds the provider's header to its responses and omits the gateway's header from its errors."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        namespace = _namespace(scope["path"]) if scope["type"] == "http" else ""
        versions = ", ".join(VERSIONS[namespace]) if namespace in NAMING_VERSIONS else ""
        if (not versions and namespace != UNVERSIONED) or UNMARKED.search(scope["path"]):
            await self._app(scope, receive, send)
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start" and versions:
                header = (b"api-supported-versions", versions.encode())
                message = {**message, "headers": [*message["headers"], header]}
            await send(message)

        try:
            await self._app(scope, receive, marked)
        except ArmError as error:
            if error.code in REFUSED_BEFORE:
                raise
            refusal = JSONResponse({"error": error.to_json()}, status_code=error.status)
            await refusal(scope, receive, marked)


def asked_version(request: Request) -> str:
    """The api-version of a request that passed the guard."""
    return next(value for name, value in request.query_params.items() if name.lower() == "api-version")


def resource_json(
    request: Request, content: Any, status_code: int = 200, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """A resource, or a list of resources, with the properties of the requested api-version."""
    version = asked_version(request)
    if isinstance(content, dict) and isinstance(content.get("value"), list):
        content = {**content, "value": [_as_of(item, version) for item in content["value"]]}
    return JSONResponse(_as_of(content, version), status_code=status_code, headers=headers)


def _as_of(document: Any, version: str) -> Any:
    kind = document.get("type") if isinstance(document, dict) else None
    return cut(document, kind, version) if isinstance(kind, str) else document


def _namespace(path: str) -> str:
    _, _, rest = path.lower().partition("/providers/")
    return rest.partition("/")[0]
