"""The existing resource types, and how they are spelled. Calls no handler."""

from __future__ import annotations

from collections.abc import Sequence

from containerapps_emulator.arm.resources.built_in import BUILT_IN_TYPES, NAMESPACE
from containerapps_emulator.arm.resources.resource import ArmError, ResourceHandler, Service, VirtualHandler


class Registry:
    """The handlers of all services, by type."""

    def __init__(self, services: Sequence[Service]) -> None:
        names = (NAMESPACE, *(service.namespace for service in services))
        self._namespaces = {name.lower(): name for name in names}
        self._built_in = {full_type.lower(): full_type for full_type in BUILT_IN_TYPES}
        self._stored = {handler.type.lower(): handler for service in services for handler in service.handlers}
        self._virtual = {
            handler.type.lower(): handler for service in services for handler in service.virtual_handlers
        }

    @property
    def namespaces(self) -> list[str]:
        return list(self._namespaces.values())

    def namespace(self, name: str) -> str:
        """The namespace in its canonical spelling. Raises ArmError 404 InvalidResourceNamespace."""
        if name.lower() not in self._namespaces:
            raise ArmError(404, "InvalidResourceNamespace", f"The resource namespace '{name}' is invalid.")
        return self._namespaces[name.lower()]

    def types(self, namespace: str) -> list[str]:
        """The full types of a namespace; derived types come last."""
        spelled = [*self._built_in.values(), *(handler.type for handler in self._stored.values())]
        spelled += [handler.type for handler in self._virtual.values()]
        return [full_type for full_type in spelled if full_type.split("/")[0].lower() == namespace.lower()]

    def knows(self, full_type: str) -> bool:
        """Whether there is such a type."""
        key = full_type.lower()
        return key in self._stored or key in self._virtual or key in self._built_in

    def spelled(self, full_type: str) -> str:
        """The type in its service's spelling. Raises ArmError 404 for an unknown one."""
        handler = self._stored.get(full_type.lower()) or self._virtual.get(full_type.lower())
        if handler is not None:
            return handler.type
        if full_type.lower() in self._built_in:
            return self._built_in[full_type.lower()]
        namespace, _, rest = full_type.partition("/")
        raise ArmError(
            404,
            "InvalidResourceType",
            f"The resource type '{rest}' could not be found in the namespace '{self.namespace(namespace)}'.",
        )

    def stored(self, full_type: str) -> ResourceHandler | None:
        """The handler of a stored type; None if the type is derived."""
        return self._stored.get(self.spelled(full_type).lower())

    def virtual(self, full_type: str) -> VirtualHandler | None:
        return self._virtual.get(self.spelled(full_type).lower())
