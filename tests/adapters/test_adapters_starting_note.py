"""Notes of starting replicas on a share: believed while they change, gone when the start is over."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from remora.adapters.starting_note import (
    BELIEVED_SECONDS,
    FOLDER,
    STALE_SECONDS,
    StartingNote,
    StartingNotes,
)

PATIENCE_SECONDS = 300.0


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def write(share: Path, name: str, said: object, beat: object) -> None:
    (share / FOLDER).mkdir(parents=True, exist_ok=True)
    (share / FOLDER / f"{name}.json").write_text(json.dumps({"said": said, "beat": beat}))


def test_a_note_is_believed_once_it_has_changed_and_as_long_as_it_does(tmp_path: Path) -> None:
    clock = Clock()
    notes = StartingNotes(tmp_path, clock)
    assert notes.newest() == ""
    write(tmp_path, "a", "loading", 41)
    assert notes.newest() == ""  # it may have been left by a replica that was killed
    write(tmp_path, "a", "loading", 42)
    assert notes.newest() == "loading"
    clock.now += BELIEVED_SECONDS
    assert notes.newest() == "loading"
    clock.now += 1
    assert notes.newest() == ""
    write(tmp_path, "a", "loading adapters", 43)
    assert notes.newest() == "loading adapters"


def test_of_several_the_one_that_began_last_is_told(tmp_path: Path) -> None:
    notes = StartingNotes(tmp_path)
    for beat in (1, 2):
        write(tmp_path, "candidate", "long ago", beat + 100)
        write(tmp_path, "woken", "just now", beat)
        told = notes.newest()
    assert told == "just now"


@pytest.mark.parametrize(("said", "beat"), [(1, 2), ("text", "x"), (None, None)])
def test_what_is_no_note_says_nothing(tmp_path: Path, said: object, beat: object) -> None:
    notes = StartingNotes(tmp_path)
    for _ in range(2):
        write(tmp_path, "a", said, beat)
        (tmp_path / FOLDER / "b.json").write_text("{half")
        assert notes.newest() == ""


def test_a_replica_writes_its_note_and_takes_it_away(tmp_path: Path) -> None:
    stale = tmp_path / FOLDER / "stale.json"
    write(tmp_path, "stale", "loading", 1)
    os.utime(stale, (0, time.time() - STALE_SECONDS - 60))
    note = StartingNote.of_replica(tmp_path, {"CONTAINER_APP_REPLICA_NAME": "app--1/../x"})
    notes, deadline = StartingNotes(tmp_path), time.monotonic() + PATIENCE_SECONDS
    note.begin()
    note.tell("loading weights\n 12 of 28")
    while notes.newest() != "loading weights 12 of 28":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    note.end()
    note.end()
    assert list((tmp_path / FOLDER).iterdir()) == []
    assert StartingNote.of_replica(tmp_path, {}) is not None


def test_a_share_that_takes_nothing_is_no_problem(tmp_path: Path) -> None:
    (tmp_path / ".remora").write_text("a file where the folder would be")
    note = StartingNote.of_replica(tmp_path, {"CONTAINER_APP_REPLICA_NAME": "a"})
    note.begin()
    note.end()
    assert StartingNotes(tmp_path).newest() == ""
