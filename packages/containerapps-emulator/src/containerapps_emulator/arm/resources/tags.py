"""Validates tags of resource groups, resources and deployments. Stores none."""

from __future__ import annotations

from typing import Any

from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.state import Json

_MOST = 50


def checked_tags(body: Json) -> Json | None:
    """The `tags` of a body, None if there are none. Raises ArmError 400."""
    tags: Any = body.get("tags")
    if tags is None:
        return None
    if not isinstance(tags, dict) or not all(isinstance(value, str | None) for value in tags.values()):
        raise ArmError(
            400, "InvalidRequestContent", "The request content was invalid: 'tags' must contain strings."
        )
    if len(tags) > _MOST:
        raise ArmError(400, "InvalidTags", f"There are '{len(tags)}' tags; at most '{_MOST}' are allowed.")
    return tags
