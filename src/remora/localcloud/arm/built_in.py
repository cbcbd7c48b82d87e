"""The types that Resource Manager itself serves, whichever services there are."""

from __future__ import annotations

from typing import Final

NAMESPACE: Final = "Microsoft.Resources"
DEPLOYMENT: Final = f"{NAMESPACE}/deployments"
RESOURCE_GROUP: Final = f"{NAMESPACE}/resourceGroups"

BUILT_IN_TYPES: Final = (DEPLOYMENT, RESOURCE_GROUP)
