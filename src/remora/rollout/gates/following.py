"""Waits until the endpoint serves a change of the aliases, at its public address. Changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

from remora.adapters.adapter import Digest, short
from remora.errors import NotReady, VerificationFailed
from remora.rollout.endpoint import Endpoint, Json

_POLL_SECONDS = 0.2
_EVERY_SECONDS = 2.0  # within which every replica follows: each reads the share twice a second


def wait_until_followed(
    endpoint: Endpoint,
    name: str,
    digest: Digest | None,
    *,
    former: Digest | None,
    replicas: int,
    timeout_seconds: float,
    progress: Callable[[str], None],
) -> None:
    """Return when the endpoint serves this digest under the name; for None, when it stops serving the name.

    `former` is what the name pointed to before, None for a new name. An answer says what one replica serves;
    with several `replicas` all answers of two seconds must agree. Raises VerificationFailed if the endpoint
    reports that it cannot serve it (it keeps the former one), NotReady if it takes too long.
    """
    deadline = time.monotonic() + timeout_seconds
    since = float("inf")
    while True:
        cards, changes = _roster(endpoint, deadline)
        follows = bool(cards) and _served(cards, name) == digest
        since = min(since, time.monotonic()) if follows else float("inf")
        if follows and (replicas < 2 or time.monotonic() - since >= _EVERY_SECONDS):
            return
        if digest is not None and (reason := _failure(changes, name, digest)):
            # A new name has no former adapter to go back to.
            again = f"remora adapters rollback {name}" if former else f"remora adapters rm {name}"
            kept = f"{name}@{short(former)} still serves" if former else "all other adapters still serve"
            raise VerificationFailed(
                f"{name}@{short(digest)} cannot be served, {kept}: {reason}", hint=f"run: {again}"
            )
        if time.monotonic() > deadline:
            raise NotReady(
                f"the endpoint has not followed the change of {name!r} in {timeout_seconds:.0f} s",
                hint="run: remora status",
            )
        progress("replicas read the share twice a second")
        time.sleep(_POLL_SECONDS)


def _roster(endpoint: Endpoint, deadline: float) -> tuple[list[Json], Json]:
    """What the endpoint serves; nothing while no replica answers, as when one misses a probe."""
    try:
        return endpoint.roster()
    except NotReady:
        if time.monotonic() > deadline:
            raise
        return [], {}


def _served(cards: list[Json], name: str) -> str | None:
    return next((card["adapter"]["digest"] for card in cards[1:] if card["id"] == name), None)


def _failure(changes: Json, name: str, digest: Digest) -> str | None:
    failed = changes.get("failed") or ()
    return next(
        (each["problem"] for each in failed if (each["name"], each["digest"]) == (name, digest)), None
    )
