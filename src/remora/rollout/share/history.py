"""The history of an endpoint: one small file per event, `.remora/history/<utc>-<id>.json`.

Separate files cannot overwrite each other, need no lock, and sort by time. Owns the events; does not
interpret them.
"""

from __future__ import annotations

import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from remora.adapters.store import ROOT
from remora.azure.share.files import Share
from remora.rollout.share.person import host, who

HISTORY = ROOT / "history"
_PARALLEL_READS = 8


@dataclass(frozen=True, slots=True)
class Happened:
    """One event.

    `at` is UTC (ISO 8601). `what` is a verb such as "deploy" or "adapters push", `name` is its object,
    `before` and `after` are the ids (releases, digests) before and after it, "" for none.
    """

    at: str
    who: str
    host: str
    what: str
    name: str
    before: str
    after: str
    result: str
    message: str


def happened(
    what: str, name: str, *, before: str = "", after: str = "", result: str = "ok", message: str = ""
) -> Happened:
    """An event with the current time and user."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return Happened(now, who(), host(), what, name, before, after, result, message)


def record(share: Share, event: Happened) -> None:
    """Write an event to the history."""
    stamp = event.at.replace(":", "").replace("+0000", "Z")
    share.replace(HISTORY / f"{stamp}-{secrets.token_hex(4)}.json", encode_event(event))


def read_history(share: Share, *, most: int) -> list[Happened]:
    """The newest `most` events, newest first; skips files that are not events."""
    names = sorted((path for path in share.sizes(HISTORY) if path.suffix == ".json"), reverse=True)
    with ThreadPoolExecutor(_PARALLEL_READS) as pool:
        found = list(pool.map(share.read, names[:most]))
    return [event for data in found if data and (event := decode_event(data)) is not None]


def document_of(event: Happened) -> dict[str, str]:
    """An event as data."""
    return {
        "at": event.at,
        "who": event.who,
        "host": event.host,
        "what": event.what,
        "name": event.name,
        "from": event.before,
        "to": event.after,
        "result": event.result,
        "message": event.message,
    }


def encode_event(event: Happened) -> bytes:
    """The bytes of an event's file."""
    return (json.dumps(document_of(event), indent=1) + "\n").encode()


def decode_event(data: bytes) -> Happened | None:
    """The event in a file; None if it is not one, because others can write to a share too."""
    try:
        document: dict[str, Any] = json.loads(data)
        keys = ("at", "who", "host", "what", "name", "from", "to", "result", "message")
        return Happened(*(str(document[key]) for key in keys))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
