"""What marks an answer that a resource's provider gave, and not Resource Manager in front of it.

Providers name the api-versions that they support, and hide properties from versions that had none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from remora.localcloud.arm.resource import ArmError

SUPPORTED: Final = {
    "microsoft.app": (
        "2022-03-01, 2022-06-01-preview, 2022-10-01, 2022-11-01-preview, 2023-04-01-preview, 2023-05-01,"
        " 2023-05-02-preview, 2023-08-01-preview, 2023-11-02-preview, 2024-02-02-preview, 2024-03-01,"
        " 2024-08-02-preview, 2024-10-02-preview, 2025-01-01, 2025-02-02-preview, 2025-07-01, 2026-01-01,"
        " 2026-07-01"
    ),
}
# Resource Manager refuses with these itself; the provider never hears of the request.
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
        "ResourceGroupBeingDeleted",
        "ResourceGroupNotFound",
        "ResourceNotFound",
        "SubscriptionNotFound",
    )
)
# Where the properties lie, and the first version that has them.
SINCE: Final[Mapping[str, tuple[tuple[tuple[str, ...], frozenset[str], str], ...]]] = {
    "microsoft.app": (
        (("properties",), frozenset(("peerTrafficConfiguration",)), "2024-02-02-preview"),
        (
            ("properties", "template", "scale"),
            frozenset(("cooldownPeriod", "pollingInterval")),
            "2024-08-02-preview",
        ),
    ),
}


class ProviderAnswers:
    """Adds the provider's header to what it answers, and answers its errors without the gateway's mark."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        versions = SUPPORTED.get(_namespace(scope["path"])) if scope["type"] == "http" else None
        if versions is None:
            await self._app(scope, receive, send)
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
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
    """The api-version of a request that the guard let in."""
    return next(value for name, value in request.query_params.items() if name.lower() == "api-version")


def resource_json(
    request: Request, content: Any, status_code: int = 200, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """A resource, or a list of them, as the asked api-version knows it."""
    newer = [
        (path, names)
        for path, names, since in SINCE.get(_namespace(request.url.path), ())
        if asked_version(request) < since
    ]
    items = content.get("value", [content]) if isinstance(content, dict) else []
    for item in items if newer else ():
        for path, names in newer:
            _hide(item, path, names)
    return JSONResponse(content, status_code=status_code, headers=headers)


def _hide(resource: Any, path: tuple[str, ...], names: frozenset[str]) -> None:
    """Replaces what it changes: documents share their parts with what is stored."""
    if not path or not isinstance(resource, dict) or not isinstance(resource.get(path[0]), dict):
        return
    inner = dict(resource[path[0]])
    if len(path) == 1:
        inner = {name: value for name, value in inner.items() if name not in names}
    else:
        _hide(inner, path[1:], names)
    resource[path[0]] = inner


def _namespace(path: str) -> str:
    _, _, rest = path.lower().partition("/providers/")
    return rest.partition("/")[0]
