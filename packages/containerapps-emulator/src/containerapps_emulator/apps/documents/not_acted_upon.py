"""What an app or a job may ask for that is kept and answered here, and has no effect: told in its system log.

A property that would change what a program gets to see is refused instead, where the defaults are filled in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from containerapps_emulator.state import Json


@dataclass(frozen=True, slots=True)
class Property:
    """In `path`, `[]` stands for every item of a list."""

    path: str
    why: str


PROPERTIES: Final = (
    Property("configuration.dapr.enabled", "no Dapr sidecar runs here"),
    Property("configuration.registries", "no image is pulled here"),
    Property("configuration.runtime", "no agent is put into the program"),
    Property("configuration.service", "no add-on runs here"),
    Property("configuration.ingress.additionalPortMappings", "only the target port is reached"),
    Property("configuration.ingress.allowInsecure", "the address is plain HTTP in any case"),
    Property("configuration.ingress.clientCertificateMode", "the address is plain HTTP"),
    Property("configuration.ingress.corsPolicy", "the ingress adds no CORS headers"),
    Property("configuration.ingress.customDomains", "no name leads to this machine"),
    Property("configuration.ingress.ipSecurityRestrictions", "every request comes from this machine"),
    Property("configuration.ingress.targetPortHttpScheme", "the program is asked over HTTP"),
    Property("template.serviceBinds", "no add-on runs here"),
    Property("template.volumes[].mountOptions", "the share is a folder of this machine"),
)


OF_JOBS: Final = (
    Property("configuration.eventTriggerConfig", "no event starts a job here: start it by hand"),
    Property("configuration.registries", "no image is pulled here"),
    Property("template.containers[].probes", "a job is judged by its exit codes alone"),
    Property("template.volumes[].mountOptions", "the share is a folder of this machine"),
)


def not_acted_upon(properties: Json, known: tuple[Property, ...] = PROPERTIES) -> list[Property]:
    """Those that the properties of an app ask for, or of a job where `known` are a job's."""
    return [item for item in known if any(_values(properties, item.path.split(".")))]


def _values(document: Any, path: list[str]) -> Iterator[Any]:
    if not path:
        yield document
        return
    name, *rest = path
    inner = document.get(name.removesuffix("[]")) if isinstance(document, dict) else None
    for item in (inner or ()) if name.endswith("[]") else (inner,):
        yield from _values(item, rest)
