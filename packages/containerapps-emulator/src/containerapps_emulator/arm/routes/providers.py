"""HTTP routes of resource providers: their types, regions and registration. They own no resource."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from containerapps_emulator.arm.http import AnyCaseRoute
from containerapps_emulator.arm.locations import LOCATIONS
from containerapps_emulator.arm.resources.known_versions import VERSIONS
from containerapps_emulator.arm.resources.registrations import Registrations
from containerapps_emulator.arm.resources.registry import Registry
from containerapps_emulator.arm.subscription import Subscription
from containerapps_emulator.state import Json

_PROVIDERS = "/subscriptions/{subscription}/providers"


class ProviderRoutes:
    """List, get, register and unregister. The response is the same for every api-version."""

    def __init__(self, subscription: Subscription, registry: Registry, registrations: Registrations) -> None:
        self._subscription = subscription
        self._registry = registry
        self._registrations = registrations
        self.routes: tuple[BaseRoute, ...] = (
            AnyCaseRoute(_PROVIDERS, self.list_all, methods=["GET"]),
            AnyCaseRoute(_PROVIDERS + "/{namespace}", self.get, methods=["GET"]),
            AnyCaseRoute(_PROVIDERS + "/{namespace}/register", self.register, methods=["POST"]),
            AnyCaseRoute(_PROVIDERS + "/{namespace}/unregister", self.unregister, methods=["POST"]),
            AnyCaseRoute(_PROVIDERS + "/{namespace}/resourceTypes", self.types, methods=["GET"]),
        )

    async def list_all(self, request: Request) -> Response:
        self._subscription.require(request.path_params["subscription"])
        return JSONResponse({"value": [self._show(name) for name in self._registry.namespaces]})

    async def get(self, request: Request) -> Response:
        return JSONResponse(self._show(self._namespace(request)))

    async def register(self, request: Request) -> Response:
        namespace = self._namespace(request)
        self._registrations.register(namespace)
        return JSONResponse(self._show(namespace))

    async def unregister(self, request: Request) -> Response:
        namespace = self._namespace(request)
        self._registrations.unregister(namespace)
        return JSONResponse(self._show(namespace))

    async def types(self, request: Request) -> Response:
        return JSONResponse({"value": self._types(self._namespace(request))})

    def _namespace(self, request: Request) -> str:
        self._subscription.require(request.path_params["subscription"])
        return self._registry.namespace(request.path_params["namespace"])

    def _show(self, namespace: str) -> Json:
        return {
            "id": f"/subscriptions/{self._subscription.id}/providers/{namespace}",
            "namespace": namespace,
            "registrationPolicy": "RegistrationRequired",
            "registrationState": self._registrations.shown(namespace),
            "resourceTypes": self._types(namespace),
        }

    def _types(self, namespace: str) -> list[Json]:
        return [
            {
                "resourceType": full_type.partition("/")[2],
                "locations": list(LOCATIONS.values()),
                "apiVersions": list(reversed(VERSIONS.get(namespace.lower(), ()))),
                "capabilities": "SupportsTags, SupportsLocation" if full_type.count("/") == 1 else "None",
            }
            for full_type in self._registry.types(namespace)
        ]
