"""A new start with an empty state, for one that is damaged: which parts are moved aside, which removed."""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from containerapps_emulator.connection import FILE_NAME
from containerapps_emulator.errors import Locked, writing
from containerapps_emulator.lock import LOCK

SHARES: Final = "shares"
MADE_AGAIN: Final = ("apps", "jobs", "replicas", FILE_NAME)  # the local cloud recreates these


def set_aside(folder: Path, *, keep_shares: bool) -> Path:
    """Leave an empty state, with or without the files on the shares; returns where the old state is now.

    Moving needs no space, so it also works on a full disk. Raises Locked if a local cloud uses the folder.
    """
    aside = folder / f"aside-{time.strftime('%Y%m%d-%H%M%S')}"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with _alone(folder):
            aside.mkdir(mode=0o700, exist_ok=True)
            for name in MADE_AGAIN:
                _remove(folder / name)
            for path in list(folder.iterdir()):
                kept = path.name == LOCK or path.name.startswith("aside-")
                if not kept and not (keep_shares and path.name == SHARES):
                    path.rename(aside / path.name)
    return aside


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / LOCK).open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = (folder / LOCK).read_text() or "unknown"
            message = f"process {holder} is a local cloud that uses {folder} and does not answer"
            raise Locked(message, hint=f"run: kill {holder}") from None
        yield


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
