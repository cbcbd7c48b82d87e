"""The resource types of Resource Manager itself. Knows no service."""

from __future__ import annotations

from typing import Final

NAMESPACE: Final = "Microsoft.Resources"
DEPLOYMENT: Final = f"{NAMESPACE}/deployments"
RESOURCE_GROUP: Final = f"{NAMESPACE}/resourceGroups"
ROLE_ASSIGNMENT: Final = "Microsoft.Authorization/roleAssignments"

BUILT_IN_TYPES: Final = (DEPLOYMENT, RESOURCE_GROUP)
