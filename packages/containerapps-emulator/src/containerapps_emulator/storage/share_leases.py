"""Leases of shares through ARM: one action with a JSON body. `store/leases.py` owns the rules."""

from __future__ import annotations

import time
from typing import Final

from containerapps_emulator.state import Json
from containerapps_emulator.storage.errors import FilesError
from containerapps_emulator.storage.store import leases
from containerapps_emulator.storage.store.leases import INFINITE, Lease
from containerapps_emulator.storage.store.shares import Shares

_DURATIONS: Final = range(15, 61)


def change_lease(shares: Shares, account: str, share: str, body: Json, snapshot: str | None = None) -> Json:
    """`{"action": "Acquire", …}` → the lease's id, and the seconds that a broken one still runs."""
    action = str(body.get("action", "")).lower()
    answered: Json = {}

    def change(lease: Lease | None) -> Lease | None:
        now = time.time()
        match action:
            case "acquire":
                changed = leases.acquire(lease, body.get("proposedLeaseId"), _duration(body), now)
            case "renew":
                changed = leases.renew(lease, _given(body, "leaseId"), now)
            case "change":
                given, proposed = (_given(body, name) for name in ("leaseId", "proposedLeaseId"))
                changed = leases.change(lease, given, proposed, now)
            case "release":
                leases.release(lease, _given(body, "leaseId"))
                return None
            case "break":
                broken, seconds = leases.break_(lease, body.get("breakPeriod"), now)
                answered["leaseTimeSeconds"] = str(seconds)
                return broken
            case _:
                raise FilesError("InvalidHeaderValue", f"action: '{action}'")
        answered["leaseId"] = changed.id
        return changed

    shares.change_lease(account, share, change, snapshot)
    return answered


def _given(body: Json, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise FilesError("MissingRequiredHeader", name)
    return value


def _duration(body: Json) -> int:
    seconds = body.get("leaseDuration", INFINITE)
    if seconds == INFINITE or seconds in _DURATIONS:
        return int(seconds)
    raise FilesError("InvalidHeaderValue", f"leaseDuration: {seconds}")
