"""The providers that the subscription is registered for: all, until a client unregisters one."""

from __future__ import annotations

from containerapps_emulator.arm.resources.registry import Registry
from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.state import State

_KIND = "unregistered-providers"


class Registrations:
    """Registrations by namespace. They take effect at once."""

    def __init__(self, state: State, registry: Registry) -> None:
        self._state = state
        self._registry = registry

    def register(self, namespace: str) -> None:
        self._state.delete(_KIND, self._registry.namespace(namespace))

    def unregister(self, namespace: str) -> None:
        self._state.put(_KIND, self._registry.namespace(namespace), {})

    def shown(self, namespace: str) -> str:
        """The registrationState."""
        return "Registered" if self._state.get(_KIND, namespace) is None else "NotRegistered"

    def require(self, full_type: str) -> None:
        """Raise ArmError 409 if not registered; Microsoft's clients then register and retry by themselves."""
        namespace = self._registry.namespace(full_type.partition("/")[0])
        if self._state.get(_KIND, namespace) is None:
            return
        code = "MissingSubscriptionRegistration"
        message = (
            f"The subscription is not registered to use namespace '{namespace}'. See"
            " https://aka.ms/rps-not-found for how to register subscriptions."
        )
        detail = {"code": code, "target": namespace, "message": message}
        raise ArmError(409, code, message, [detail])
