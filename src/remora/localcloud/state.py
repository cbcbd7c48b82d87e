"""What survives a crash: JSON documents by kind and key, in one SQLite file.

Every write is with the kernel before it returns, so nothing that was acknowledged is lost to `kill -9`.
A power cut may undo the last writes, never damage the file (SQLite's WAL with synchronous=NORMAL).
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

Json = dict[str, Any]


class State:
    """Documents by (kind, key). Keys are compared without regard to case, as Azure compares ids."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS documents"
            " (kind TEXT, key TEXT, body TEXT NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID"
        )
        path.chmod(0o600)

    def get(self, kind: str, key: str) -> Json | None:
        """The document, or None."""
        row = self._connection.execute(
            "SELECT body FROM documents WHERE kind = ? AND key = ?", (kind, key.lower())
        ).fetchone()
        return None if row is None else json.loads(row[0])

    def put(self, kind: str, key: str, body: Json) -> None:
        """Create or replace the document."""
        self._connection.execute(
            "INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", (kind, key.lower(), json.dumps(body))
        )

    def delete(self, kind: str, key: str) -> None:
        """Remove the document; a missing one is a no-op."""
        self._connection.execute("DELETE FROM documents WHERE kind = ? AND key = ?", (kind, key.lower()))

    def list(self, kind: str, prefix: str = "") -> list[tuple[str, Json]]:
        """All (lower-case key, document) of a kind whose key starts with `prefix`, in key order."""
        rows = self._connection.execute(
            "SELECT key, body FROM documents WHERE kind = ? AND substr(key, 1, ?) = ? ORDER BY key",
            (kind, len(prefix), prefix.lower()),
        )
        return [(key, json.loads(body)) for key, body in rows]

    def close(self) -> None:
        self._connection.close()
