"""State that survives a crash: JSON documents by kind and key, in one SQLite file.

The kernel has every write before the call returns, so `kill -9` loses nothing that was acknowledged.
A power cut may undo the last writes but never damages the file (SQLite's WAL with synchronous=NORMAL).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from containerapps_emulator.errors import HINTS, DamagedState, disk_error, said

Json = dict[str, Any]


class State:
    """Documents by (kind, key). Keys are compared case-insensitively, as Azure compares ids."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._understood():
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS documents"
                " (kind TEXT, key TEXT, body TEXT NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID"
            )
            self._check()
        path.chmod(0o600)

    def get(self, kind: str, key: str) -> Json | None:
        """The document, or None."""
        with self._understood():
            row = self._connection.execute(
                "SELECT body FROM documents WHERE kind = ? AND key = ?", (kind, key.lower())
            ).fetchone()
            return None if row is None else json.loads(row[0])

    def put(self, kind: str, key: str, body: Json) -> None:
        """Create or replace the document."""
        row = (kind, key.lower(), json.dumps(body))
        with self._understood():
            self._connection.execute("INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", row)

    def delete(self, kind: str, key: str) -> None:
        """Remove the document; a missing one is a no-op."""
        with self._understood():
            self._connection.execute("DELETE FROM documents WHERE kind = ? AND key = ?", (kind, key.lower()))

    def list(self, kind: str, prefix: str = "") -> list[tuple[str, Json]]:
        """All (lower-case key, document) of a kind whose key starts with `prefix`, in key order."""
        with self._understood():
            rows = self._connection.execute(
                "SELECT key, body FROM documents WHERE kind = ? AND substr(key, 1, ?) = ? ORDER BY key",
                (kind, len(prefix), prefix.lower()),
            )
            return [(key, json.loads(body)) for key, body in rows]

    def close(self) -> None:
        self._connection.close()

    def _check(self) -> None:
        """Detect a damaged file when the cloud starts, not when it reads the damaged page."""
        (found,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(" ".join(found.split()))

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """Raises CannotWrite or DiskFull if the disk refuses a write, DamagedState if the file is damaged."""
        try:
            yield
        except (sqlite3.Error, ValueError) as error:
            if (found := disk_error(error, self._path)) is not None:
                raise found from error
            raise DamagedState(
                f"the state of the local cloud is damaged: {self._path} ({said(error)})",
                hint=HINTS.get().reset,
            ) from error
