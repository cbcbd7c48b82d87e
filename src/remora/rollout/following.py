"""Whether the endpoint has followed a change of the aliases: seen through its public address."""

from __future__ import annotations

import time
from collections.abc import Callable

from remora.adapters.adapter import Digest, short
from remora.errors import NotReady, VerificationFailed
from remora.rollout.endpoint import Endpoint, Json

_POLL_SECONDS = 0.2


def wait_until_followed(
    endpoint: Endpoint,
    name: str,
    digest: Digest | None,
    *,
    timeout_seconds: float,
    progress: Callable[[str], None],
) -> None:
    """Return when the endpoint serves this digest under the name; None: when it serves no such name.

    Raises VerificationFailed where it says that it cannot (what served before serves on), NotReady when it
    takes too long.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        cards, changes = endpoint.roster()
        if _served(cards, name) == digest:
            return
        if digest is not None and (reason := _failure(changes, name, digest)):
            raise VerificationFailed(
                f"{name}@{short(digest)} cannot be served, what served before serves on: {reason}",
                hint=f"run: remora adapters rollback {name}",
            )
        if time.monotonic() > deadline:
            raise NotReady(
                f"the endpoint has not followed the change of {name!r} in {timeout_seconds:.0f} s",
                hint="run: remora status",
            )
        progress("replicas look at the share twice a second")
        time.sleep(_POLL_SECONDS)


def _served(cards: list[Json], name: str) -> str | None:
    return next((card["adapter"]["digest"] for card in cards[1:] if card["id"] == name), None)


def _failure(changes: Json, name: str, digest: Digest) -> str | None:
    failed = changes.get("failed") or ()
    return next(
        (each["problem"] for each in failed if (each["name"], each["digest"]) == (name, digest)), None
    )
