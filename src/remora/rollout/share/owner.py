"""The owner of a share: one container app, because the aliases apply to every replica on the share.

Two projects that deploy to one share would silently remove each other's adapters. So the first deploy writes
its app to `.remora/owner.json`, and a command for another app is refused while that app exists. Takes no
lock: callers that change the file hold the share's.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from remora.adapters.store import ROOT
from remora.azure.app.apps import ContainerApp
from remora.azure.share.files import Share
from remora.errors import DeploymentNotFound, Refused, RemoraError
from remora.rollout.share.person import host, who

OWNER = ROOT / "owner.json"


@dataclass(frozen=True, slots=True)
class Owner:
    """The app that a share belongs to, the user who deployed it, and the time (UTC, ISO 8601)."""

    subscription_id: str
    resource_group: str
    app: str
    who: str
    host: str
    since: str

    def is_app(self, app: ContainerApp) -> bool:
        """Whether this is the app; Azure's names are case-insensitive."""
        ours = (app.subscription_id, app.group, app.name)
        theirs = (self.subscription_id, self.resource_group, self.app)
        return [*map(str.lower, ours)] == [*map(str.lower, theirs)]

    def __str__(self) -> str:
        return (
            f"container app {self.app!r} of resource group {self.resource_group!r}"
            f" (deployed by {self.who} on {self.host}, {self.since})"
        )


def claim(share: Share, app: ContainerApp) -> None:
    """Make this app the share's owner. Raises Refused if it belongs to another app."""
    if _checked(share, app) is not None:
        return
    since = datetime.now(UTC).isoformat(timespec="seconds")
    owner = Owner(app.subscription_id, app.group, app.name, who(), host(), since)
    share.replace(OWNER, (json.dumps(asdict(owner), indent=2) + "\n").encode())


def check_owner(share: Share, app: ContainerApp) -> None:
    """Raises Refused if the share belongs to another app."""
    _checked(share, app)


def _checked(share: Share, app: ContainerApp) -> Owner | None:
    """The owner if it is this app; None if the share has no owner, or its owner no longer exists."""
    owner = _decode(share.read(OWNER))
    if owner is None or owner.is_app(app):
        return owner
    if not _exists(app.other(owner.subscription_id, owner.resource_group, owner.app)):
        return None
    raise Refused(
        f"{share!r} belongs to {owner}; that app would serve what {app.name!r} changes there",
        hint="give this project a share of its own (fileShareName in"
        " infra/provision/inference.parameters.json, then: remora provision); if that app no longer uses"
        f" the share, delete {OWNER} on it",
    )


def _exists(app: ContainerApp) -> bool:
    """Whether the app exists. An app that we are not allowed to read counts as existing."""
    try:
        app.read()
    except DeploymentNotFound:
        return False
    except RemoraError:
        return True
    return True


def _decode(data: bytes | None) -> Owner | None:
    """The owner in the document; None if it names none, because others can write to a share too."""
    try:
        document: dict[str, Any] = json.loads(data or b"null")
        return Owner(**{name: str(document[name]) for name in Owner.__slots__})
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
