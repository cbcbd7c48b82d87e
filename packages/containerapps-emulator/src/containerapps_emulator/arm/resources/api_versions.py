"""Which api-versions have which property, by resource type, and the cut of an answer to the version asked.

A property comes to stable and to preview versions at different times, and some never leave preview. The
facts are those of Microsoft's specifications and of recorded answers. Fills in no value: what a service
answers is in its newest form, and this takes away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from containerapps_emulator.state import Json

PREVIEW: Final = "-preview"
NEVER: Final = "9999-12-31"


@dataclass(frozen=True, slots=True)
class Property:
    """The first versions that answer it. In `path`, `[]` stands for every item of a list."""

    path: str
    stable: str
    preview: str

    def is_in(self, version: str) -> bool:
        return version >= (self.preview if version.lower().endswith(PREVIEW) else self.stable)


_SCALE: Final = "properties.template.scale"
_SCALING: Final = tuple(
    Property(f"{_SCALE}.{name}", "2025-01-01", "2024-08-02-preview")
    for name in ("cooldownPeriod", "pollingInterval")
)
_IMAGES: Final = tuple(
    Property(f"properties.template.{name}[].imageType", NEVER, "2024-08-02-preview")
    for name in ("containers", "initContainers")
)
PROPERTIES: Final[Mapping[str, tuple[Property, ...]]] = {
    "microsoft.app/containerapps": (
        Property("kind", "2025-07-01", "2024-08-02-preview"),
        Property("properties.patchingMode", NEVER, "2024-10-02-preview"),
        Property("properties.configuration.identitySettings", "2025-01-01", "2024-08-02-preview"),
        Property("properties.configuration.revisionTransitionThreshold", NEVER, "2024-10-02-preview"),
        Property("properties.configuration.runtime", "2025-01-01", "2024-08-02-preview"),
        Property("properties.configuration.targetLabel", NEVER, "2024-10-02-preview"),
        Property("properties.configuration.ingress.targetPortHttpScheme", NEVER, "2023-11-02-preview"),
        *_SCALING,
        *_IMAGES,
    ),
    "microsoft.app/containerapps/revisions": (*_SCALING, *_IMAGES),
    "microsoft.app/jobs": (
        Property("properties.configuration.dapr", NEVER, "2023-08-01-preview"),
        Property("properties.configuration.identitySettings", "2025-01-01", "2024-08-02-preview"),
        Property("properties.outboundIpAddresses", "2024-03-01", "2024-02-02-preview"),
        Property("properties.runningState", "2026-07-01", "2024-10-02-preview"),
        *_IMAGES,
    ),
    "microsoft.app/jobs/executions": tuple(
        Property(f"properties.{name}", "2026-07-01", "2024-02-02-preview")
        for name in ("detailedStatus", "reason", "message")
    ),
    "microsoft.app/managedenvironments": (
        Property(
            "properties.appLogsConfiguration.logAnalyticsConfiguration.dynamicJsonColumns",
            NEVER,
            "2023-11-02-preview",
        ),
        Property("properties.appInsightsConfiguration", "2026-07-01", "2023-11-02-preview"),
        Property("properties.availabilityZones", NEVER, "2024-10-02-preview"),
        Property(
            "properties.customDomainConfiguration.certificateKeyVaultProperties",
            "2025-01-01",
            "2023-11-02-preview",
        ),
        Property("properties.diskEncryptionConfiguration", NEVER, "2024-10-02-preview"),
        Property("properties.ingressConfiguration", "2025-07-01", "2025-02-02-preview"),
        Property("properties.openTelemetryConfiguration", "2026-07-01", "2023-11-02-preview"),
        Property("properties.peerTrafficConfiguration", "2024-03-01", "2024-02-02-preview"),
        Property("properties.publicNetworkAccess", "2025-07-01", "2024-08-02-preview"),
        Property("properties.workloadProfiles[].enableFips", "2025-01-01", "2024-08-02-preview"),
    ),
}
# From here on the first answer to a PUT repeats what was sent, and leaves the defaults to later ones.
FIRST_ANSWER_REPEATS: Final[Mapping[str, Property]] = {
    "microsoft.app/containerapps": Property("", "2025-01-01", "2024-08-02-preview"),
}


def cut(document: Any, resource_type: str, version: str) -> Any:
    """The document as that api-version answers it; the given one stays as it is."""
    for item in PROPERTIES.get(resource_type.lower(), ()):
        if not item.is_in(version):
            document = _without(document, item.path.split("."))
    return document


def repeats(resource_type: str, version: str) -> bool:
    """Whether the first answer to a PUT repeats what was sent."""
    since = FIRST_ANSWER_REPEATS.get(resource_type.lower())
    return since is not None and since.is_in(version)


def _without(document: Any, path: Iterable[str]) -> Any:
    """A copy without what lies at `path`; parts of a document are shared with the stored one."""
    name, *rest = path
    key = name.removesuffix("[]")
    if not isinstance(document, dict) or key not in document:
        return document
    if not rest:
        return {other: value for other, value in document.items() if other != key}
    inner: Any = document[key]
    if name.endswith("[]"):
        inner = [_without(item, rest) for item in inner] if isinstance(inner, list) else inner
    else:
        inner = _without(inner, rest)
    changed: Json = {**document, key: inner}
    return changed
