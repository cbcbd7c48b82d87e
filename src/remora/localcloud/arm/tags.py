"""Tags: names and texts, on resource groups, resources and deployments."""

from __future__ import annotations

from typing import Any

from remora.localcloud.arm.resource import ArmError
from remora.localcloud.state import Json

_MOST = 50


def checked_tags(body: Json) -> Json | None:
    """The `tags` of a body, None where there are none. Raises ArmError 400."""
    tags: Any = body.get("tags")
    if tags is None:
        return None
    if not isinstance(tags, dict) or not all(isinstance(value, str | None) for value in tags.values()):
        raise ArmError(
            400, "InvalidRequestContent", "The request content was invalid: 'tags' must hold texts."
        )
    if len(tags) > _MOST:
        raise ArmError(
            400, "InvalidTags", f"There are '{len(tags)}' tags, and the most that there can be are '{_MOST}'."
        )
    return tags
