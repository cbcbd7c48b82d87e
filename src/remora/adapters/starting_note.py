"""How far a replica has come with its start: a small file on the share. Owns its form, writing and reading.

While a replica starts, an ingress holds what is sent to it, so nobody can ask it: what it says lies on the
share, one file a replica:

    .remora/starting/<replica>.json    {"said": "loading weights 12 of 28", "beat": 7}

`beat` grows as long as the replica lives, and the file goes when it serves. A killed replica leaves its file,
whose `beat` stands still; a reader believes only what it has seen change, so no two clocks are compared.
"""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import Self

FOLDER = Path(".remora", "starting")
BEAT_SECONDS = 1.0
BELIEVED_SECONDS = 15.0
"""For so long after its last change: a share may show a change late, and a start does not end by itself."""
STALE_SECONDS = 24 * 3600.0
MOST_SAID_CHARACTERS = 200
_NAME = re.compile(r"[^A-Za-z0-9._-]")


class StartingNote:
    """One replica's file, from `begin` to `end`. A share that takes nothing is no problem of the start."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._said = "starting"
        self._beat = 0
        self._ended = Event()
        self._thread = Thread(target=self._run, name="remora-starting-note", daemon=True)

    @classmethod
    def of_replica(cls, share: Path, environment: Mapping[str, str]) -> Self:
        """The note of the replica that this process is, by the name that the platform gives it."""
        name = environment.get("CONTAINER_APP_REPLICA_NAME") or socket.gethostname()
        return cls(share / FOLDER / f"{_NAME.sub('-', name)}.json")

    def begin(self) -> None:
        self._thread.start()

    def tell(self, said: str) -> None:
        """Say this from the next beat on."""
        self._said = said[:MOST_SAID_CHARACTERS]

    def end(self) -> None:
        """Remove it. A second call is a no-op."""
        if self._thread.is_alive():
            self._ended.set()
            self._thread.join()

    def _run(self) -> None:
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            _remove_stale(self._path.parent)
        while True:
            with suppress(OSError):
                self._write()
            if self._ended.wait(BEAT_SECONDS):
                break
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        self._beat += 1
        partial = self._path.with_name(f".{self._path.name}.partial")
        partial.write_text(json.dumps({"said": self._said, "beat": self._beat}), encoding="utf-8")
        partial.replace(self._path)


class StartingNotes:
    """What the replicas that start now say. `now` gives seconds that only grow."""

    def __init__(self, share: Path, now: Callable[[], float] = time.monotonic) -> None:
        self._folder = share / FOLDER
        self._now = now
        self._seen: dict[str, tuple[int, float | None]] = {}  # name → beat, when it last changed

    def newest(self) -> str:
        """What the replica says that has begun last; "" where no living one says anything."""
        now = self._now()
        present: dict[str, tuple[int, float | None]] = {}
        living: list[tuple[int, str]] = []
        for path in self._paths():
            said, beat = _read(path)
            known = self._seen.get(path.name)
            changed_at = known[1] if known and known[0] == beat else (now if known else None)
            present[path.name] = (beat, changed_at)
            if said and changed_at is not None and now - changed_at <= BELIEVED_SECONDS:
                living.append((beat, said))
        self._seen = present
        return min(living, default=(0, ""))[1]

    def _paths(self) -> list[Path]:
        try:
            return sorted(path for path in self._folder.glob("*.json") if not path.name.startswith("."))
        except OSError:
            return []


def _read(path: Path) -> tuple[str, int]:
    """What it says and its beat; nothing, where it is being replaced or is none of ours."""
    try:
        document = json.loads(path.read_text("utf-8"))
        said, beat = document["said"], document["beat"]
    except (OSError, ValueError, KeyError, TypeError):
        return "", 0
    if not isinstance(said, str) or not isinstance(beat, int):
        return "", 0
    return " ".join(said.split())[:MOST_SAID_CHARACTERS], beat


def _remove_stale(folder: Path) -> None:
    """What killed replicas have left."""
    for path in folder.iterdir():
        if time.time() - path.stat().st_mtime > STALE_SECONDS:
            path.unlink(missing_ok=True)
