"""The rules of leases, as pure functions of a lease and the time. Stores nothing."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import Final

from containerapps_emulator.state import Json
from containerapps_emulator.storage.errors import FilesError

INFINITE: Final = -1


@dataclass(frozen=True, slots=True)
class Lease:
    """An absent lease is None. `expires_at` and `broken_at` are seconds since 1970."""

    id: str
    duration_seconds: int = INFINITE
    expires_at: float | None = None
    broken_at: float | None = None

    @classmethod
    def from_json(cls, document: Json) -> Lease:
        return cls(**document)

    def to_json(self) -> Json:
        return {
            "id": self.id,
            "duration_seconds": self.duration_seconds,
            "expires_at": self.expires_at,
            "broken_at": self.broken_at,
        }

    def state(self, now: float) -> str:
        if self.broken_at is not None:
            return "broken" if now >= self.broken_at else "breaking"
        if self.expires_at is not None and now >= self.expires_at:
            return "expired"
        return "leased"

    def is_active(self, now: float) -> bool:
        """Whether writes need its id."""
        return self.state(now) in {"leased", "breaking"}


def check(lease: Lease | None, given: str | None, now: float, *, what: str) -> None:
    """Raise FilesError unless the lease id `given` allows a write to a `what` ("File" or "Share")."""
    active = lease if lease is not None and lease.is_active(now) else None
    if active is None:
        if given is not None:
            raise FilesError(f"LeaseNotPresentWith{what}Operation")
        return
    if given is None:
        raise FilesError("LeaseIdMissing")
    if given.lower() != active.id:
        raise FilesError(f"LeaseIdMismatchWith{what}Operation")


def acquire(lease: Lease | None, proposed: str | None, duration_seconds: int, now: float) -> Lease:
    wanted = _lease_id(proposed) if proposed else str(uuid.uuid4())
    if lease is not None and lease.state(now) == "breaking":
        raise FilesError("LeaseIsBreakingAndCannotBeAcquired")
    if lease is not None and lease.state(now) == "leased" and lease.id != wanted:
        raise FilesError("LeaseAlreadyPresent")
    return _running(Lease(wanted, duration_seconds), now)


def renew(lease: Lease | None, given: str, now: float) -> Lease:
    """An expired lease can be renewed, because nobody has acquired it since."""
    held = _held(lease, given)
    if held.broken_at is not None:
        raise FilesError("LeaseIsBrokenAndCannotBeRenewed")
    return _running(held, now)


def change(lease: Lease | None, given: str, proposed: str, now: float) -> Lease:
    """Repeating a successful change (after a lost response) succeeds again."""
    wanted = _lease_id(proposed)
    held = _held(lease, given if lease is None or lease.id != wanted else wanted)
    if held.broken_at is not None:
        raise FilesError("LeaseIsBreakingAndCannotBeChanged")
    if held.state(now) == "expired":
        raise FilesError("LeaseNotPresentWithLeaseOperation")
    return replace(held, id=wanted)


def release(lease: Lease | None, given: str) -> None:
    _held(lease, given)


def break_(lease: Lease | None, period_seconds: int | None, now: float) -> tuple[Lease, int]:
    """The broken lease, and the seconds until a new one can be acquired. An infinite lease ends at once."""
    if lease is None:
        raise FilesError("LeaseNotPresentWithLeaseOperation")
    ends_at = lease.broken_at if lease.broken_at is not None else lease.expires_at
    remaining_seconds = max(0.0, (now if ends_at is None else ends_at) - now)
    if lease.duration_seconds == INFINITE and lease.broken_at is None:
        remaining_seconds = float(period_seconds or 0)
    elif period_seconds is not None:
        remaining_seconds = min(remaining_seconds, float(period_seconds))
    return replace(lease, broken_at=now + remaining_seconds), round(remaining_seconds)


def _held(lease: Lease | None, given: str) -> Lease:
    if lease is None:
        raise FilesError("LeaseNotPresentWithLeaseOperation")
    if lease.id != given.lower():
        raise FilesError("LeaseIdMismatchWithLeaseOperation")
    return lease


def _running(lease: Lease, now: float) -> Lease:
    expires_at = None if lease.duration_seconds == INFINITE else now + lease.duration_seconds
    return replace(lease, expires_at=expires_at)


def _lease_id(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise FilesError("InvalidHeaderValue", f"The lease id '{text}' is not a GUID.") from None
