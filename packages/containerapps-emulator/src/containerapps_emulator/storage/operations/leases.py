"""The lease operations on files and shares: parse action, ids and times. `store/leases.py` owns the rules."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from starlette.responses import Response

from containerapps_emulator.storage import headers as wire
from containerapps_emulator.storage.call import Call
from containerapps_emulator.storage.errors import FilesError
from containerapps_emulator.storage.store import leases, stamps
from containerapps_emulator.storage.store.leases import INFINITE, Lease

_STATUS: Final = {"acquire": 201, "renew": 200, "change": 200, "release": 200, "break": 202}


def lease_file(call: Call) -> Response:
    action = _action(call, allowed=_STATUS.keys() - {"renew"})
    change = _Change(call, action, durations=range(0))
    entry = call.share.change_lease(call.target.path, change)
    return Response(status_code=_STATUS[action], headers={**wire.version_headers(entry), **change.headers})


def lease_share(call: Call) -> Response:
    action = _action(call, allowed=_STATUS.keys())
    change = _Change(call, action, durations=range(15, 61))
    share = call.shares.change_lease(call.target.account, call.target.share, change, call.snapshot)
    headers = {"etag": stamps.etag(share.changed_ns), "last-modified": stamps.http_date(share.changed_ns)}
    return Response(status_code=_STATUS[action], headers={**headers, **change.headers})


class _Change:
    """Applies one action to the current lease when called; `headers` then holds the response headers."""

    def __init__(self, call: Call, action: str, durations: range) -> None:
        self._call = call
        self._action = action
        self._durations = durations
        self.headers: wire.Headers = {}

    def __call__(self, lease: Lease | None) -> Lease | None:
        now = self._call.now()
        if self._action == "release":
            leases.release(lease, self._given())
            return None
        if self._action == "break":
            period_seconds = wire.optional_int(self._call.headers, "x-ms-lease-break-period")
            broken, remaining_seconds = leases.break_(lease, period_seconds, now)
            if self._durations:  # a file's lease has no break period, and its response names none
                self.headers["x-ms-lease-time"] = str(remaining_seconds)
            return broken
        taken = self._take(lease, now)
        self.headers["x-ms-lease-id"] = taken.id
        return taken

    def _take(self, lease: Lease | None, now: float) -> Lease:
        proposed = self._call.headers.get("x-ms-proposed-lease-id")
        if self._action == "acquire":
            return leases.acquire(lease, proposed, self._duration(), now)
        if self._action == "renew":
            return leases.renew(lease, self._given(), now)
        if proposed is None:
            raise FilesError("MissingRequiredHeader", "x-ms-proposed-lease-id")
        return leases.change(lease, self._given(), proposed, now)

    def _given(self) -> str:
        if self._call.lease_id is None:
            raise FilesError("MissingRequiredHeader", "x-ms-lease-id")
        return self._call.lease_id

    def _duration(self) -> int:
        seconds = wire.optional_int(self._call.headers, "x-ms-lease-duration")
        if seconds is None or seconds == INFINITE or seconds in self._durations:
            return INFINITE if seconds is None else seconds
        raise FilesError("InvalidHeaderValue", f"x-ms-lease-duration: {seconds}")


def _action(call: Call, allowed: Collection[str]) -> str:
    action = call.headers.get("x-ms-lease-action", "").lower()
    if action not in allowed:
        raise FilesError("InvalidHeaderValue", f"x-ms-lease-action: '{action}'")
    return action
