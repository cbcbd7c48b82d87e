"""Refuses api-versions that a provider does not have, in Azure's words. Knows no version's content.

The lists hold every version that Microsoft's documents, SDKs, command lines and recordings name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Receive, Scope, Send

from containerapps_emulator.arm.locations import LOCATIONS
from containerapps_emulator.arm.resources.groups import Groups
from containerapps_emulator.arm.resources.registry import Registry
from containerapps_emulator.arm.resources.resource import ArmError

RESOURCE_MANAGER: Final = "microsoft.resources"
VERSIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "microsoft.authorization": (
        *("2015-07-01", "2017-10-01-preview", "2018-01-01-preview", "2018-07-01", "2018-09-01-preview"),
        *("2020-03-01-preview", "2020-04-01-preview", "2020-08-01-preview", "2020-10-01-preview"),
        *("2022-04-01", "2022-05-01-preview"),
    ),
    "microsoft.app": (
        *("2022-01-01-preview", "2022-03-01", "2022-06-01-preview", "2022-10-01", "2022-11-01-preview"),
        *("2023-04-01-preview", "2023-05-01", "2023-05-02-preview", "2023-08-01-preview"),
        *("2023-11-02-preview", "2024-02-02-preview", "2024-03-01", "2024-08-02-preview"),
        *("2024-10-02-preview", "2025-01-01", "2025-02-02-preview", "2025-07-01", "2025-10-02-preview"),
        *("2026-01-01", "2026-03-02-preview", "2026-07-01"),
    ),
    "microsoft.managedidentity": (
        *("2015-08-31-preview", "2018-11-30", "2021-09-30-preview", "2022-01-31-preview", "2023-01-31"),
        *("2023-07-31-preview", "2024-11-30", "2025-01-31-preview", "2025-05-31-preview"),
    ),
    "microsoft.operationalinsights": (
        *("2015-03-20", "2015-11-01-preview", "2020-03-01-preview", "2020-08-01", "2020-10-01"),
        *("2021-06-01", "2021-12-01-preview", "2022-10-01", "2023-09-01", "2025-02-01", "2025-04-01"),
        "2025-07-01",
    ),
    "microsoft.storage": (
        *("2015-05-01-preview", "2015-06-15", "2016-01-01", "2016-05-01", "2016-12-01", "2017-06-01"),
        *("2017-10-01", "2018-02-01", "2018-03-01-preview", "2018-07-01", "2018-11-01", "2019-04-01"),
        *("2019-06-01", "2020-08-01-preview", "2021-01-01", "2021-02-01", "2021-04-01", "2021-05-01"),
        *("2021-06-01", "2021-08-01", "2021-09-01", "2022-05-01", "2022-09-01", "2023-01-01", "2023-04-01"),
        *("2023-05-01", "2024-01-01", "2025-01-01", "2025-06-01", "2025-08-01", "2026-04-01", "2026-06-01"),
        "2026-09-01",
    ),
    RESOURCE_MANAGER: (
        *("2014-04-01-preview", "2014-04-01", "2015-01-01", "2015-11-01", "2016-02-01", "2016-06-01"),
        *("2016-07-01", "2016-09-01", "2017-05-10", "2017-08-01", "2018-01-01", "2018-02-01", "2018-05-01"),
        *("2018-11-01", "2019-03-01", "2019-05-01", "2019-05-10", "2019-06-01", "2019-07-01", "2019-08-01"),
        *("2019-10-01", "2019-11-01", "2020-01-01", "2020-05-01", "2020-06-01", "2020-08-01", "2020-09-01"),
        *("2020-10-01", "2021-01-01", "2021-04-01", "2022-01-01", "2022-05-01", "2022-06-01", "2022-09-01"),
        *("2022-12-01", "2023-07-01", "2024-03-01", "2024-07-01", "2024-08-01", "2024-11-01", "2025-03-01"),
        *("2025-04-01", "2026-06-01"),
    ),
}
# Microsoft publishes no whole list of Resource Manager's versions, so those of the providers pass there too.
_DATES: Final = frozenset(version for versions in VERSIONS.values() for version in versions)
_OF_THE_PROVIDER: Final = ("", "register", "unregister")
_WITHOUT_TYPE: Final = ("locations", "checknameavailability")
_GROUP: Final = re.compile(r"/resourcegroups/([^/]+)", re.IGNORECASE)


class KnownVersions:
    """Checks the api-version of each request before anything else looks at it."""

    def __init__(self, app: ASGIApp, groups: Groups, registry: Registry) -> None:
        self._app = app
        self._groups = groups
        self._registry = registry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            query = parse_qsl(scope["query_string"].decode("latin-1"))
            version = next((value for name, value in query if name.lower() == "api-version"), "")
            self._require(scope["path"], version)
        await self._app(scope, receive, send)

    def _require(self, path: str, version: str) -> None:
        _, _, provided = path.rpartition("/providers/")
        namespace, *rest = provided.strip("/").split("/")
        kinds = rest[::2]
        of_provider = not rest or (len(rest) == 1 and rest[0].lower() in _OF_THE_PROVIDER)
        if "/providers/" not in path or namespace.lower() == RESOURCE_MANAGER or of_provider:
            require_manager_version(version)
        elif rest[0].lower() in _WITHOUT_TYPE:
            require_version(f"{namespace}/{'/'.join(kinds)}", version, "")
        else:
            while kinds and not self._registry.knows(f"{namespace}/{'/'.join(kinds)}"):
                kinds.pop()  # the last one may be an action
            if kinds:
                require_version(f"{namespace}/{'/'.join(kinds)}", version, self._location(path))

    def _location(self, path: str) -> str:
        found = _GROUP.search(path)
        known = found is not None and self._groups.exists(found[1])
        return str(self._groups.require(found[1])["location"]) if found and known else ""


def require_manager_version(version: str) -> None:
    """Raise ArmError for a version that Resource Manager does not have."""
    if version.lower() not in _DATES:
        newest_first = ",".join(sorted(VERSIONS[RESOURCE_MANAGER], reverse=True))
        message = f"The api-version '{version}' is invalid. The supported versions are '{newest_first}'."
        raise ArmError(400, "InvalidApiVersionParameter", message)


def require_version(full_type: str, version: str, location: str) -> None:
    """Raise ArmError for a version that the type's provider does not have. Unknown providers have none."""
    namespace, _, kind = full_type.partition("/")
    known = VERSIONS.get(namespace.lower())
    if known is None or version.lower() in known:
        return
    raise ArmError(
        400,
        "NoRegisteredProviderFound",
        f"No registered resource provider found for location '{location}' and API version '{version}' for"
        f" type '{kind}'. The supported api-versions are '{', '.join(known)}'. The supported locations are"
        f" '{', '.join(LOCATIONS)}'.",
    )
