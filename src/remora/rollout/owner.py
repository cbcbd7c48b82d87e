"""Whose a share is: one container app's, since its aliases say what every replica on the share serves.

Two projects that deploy to one share would take each other's adapters away, without a word. So the first
deploy writes its app into `.remora/owner.json`, and a command for another app is refused for as long as that
app exists. Callers that change the file hold the share's lock.
"""

from __future__ import annotations

import getpass
import json
import socket
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from remora.adapters.store import ROOT
from remora.azure.apps import ContainerApp
from remora.azure.files import Share
from remora.errors import DeploymentNotFound, Refused, RemoraError

OWNER = ROOT / "owner.json"


@dataclass(frozen=True, slots=True)
class Owner:
    """The app that a share belongs to, and by whose deploy, since when (UTC, ISO 8601)."""

    subscription_id: str
    resource_group: str
    app: str
    who: str
    host: str
    since: str

    def is_app(self, app: ContainerApp) -> bool:
        """Whether this is the app; Azure's names have no case."""
        ours = (app.subscription_id, app.group, app.name)
        theirs = (self.subscription_id, self.resource_group, self.app)
        return [*map(str.lower, ours)] == [*map(str.lower, theirs)]

    def __str__(self) -> str:
        return (
            f"container app {self.app!r} of resource group {self.resource_group!r}"
            f" (deployed by {self.who} on {self.host}, {self.since})"
        )


def claim(share: Share, app: ContainerApp) -> None:
    """Make the share this app's. Raises Refused where it is another's."""
    if _checked(share, app) is not None:
        return
    since = datetime.now(UTC).isoformat(timespec="seconds")
    owner = Owner(app.subscription_id, app.group, app.name, getpass.getuser(), socket.gethostname(), since)
    share.replace(OWNER, (json.dumps(asdict(owner), indent=2) + "\n").encode())


def check_owner(share: Share, app: ContainerApp) -> None:
    """Raises Refused where the share is another app's."""
    _checked(share, app)


def _checked(share: Share, app: ContainerApp) -> Owner | None:
    """The owner, where it is this app; None where the share is nobody's, or its owner exists no more."""
    owner = _decode(share.read(OWNER))
    if owner is None or owner.is_app(app):
        return owner
    if not _exists(app.other(owner.subscription_id, owner.resource_group, owner.app)):
        return None
    raise Refused(
        f"{share!r} serves {owner}; what {app.name!r} would change there, that app would serve",
        hint="give this project a share of its own (fileShareName in"
        " infra/provision/inference.parameters.json, then: remora provision); if that app does not use"
        f" the share any more, delete {OWNER} on it",
    )


def _exists(app: ContainerApp) -> bool:
    """An app that we may not look at counts as one that is there."""
    try:
        app.read()
    except DeploymentNotFound:
        return False
    except RemoraError:
        return True
    return True


def _decode(data: bytes | None) -> Owner | None:
    """None where the document names none: others may write to a share too."""
    try:
        document: dict[str, Any] = json.loads(data or b"null")
        return Owner(**{name: str(document[name]) for name in Owner.__slots__})
    except (ValueError, KeyError, TypeError):
        return None
