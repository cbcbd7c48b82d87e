"""kill -9 in the middle of uploads, again and again: what was acknowledged is there, and nothing half-written
stands where a whole file should.

The seed of the moments is printed; `REMORA_CRASH_SEED` and `REMORA_CRASH_ROUNDS` repeat or extend a run.
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import AzureError
from azure.storage.fileshare import ShareClient
from tests.emulator.files.conftest import ACCOUNT, KEYS
from tests.emulator.files.test_files_durability import SERVE

ROUNDS = int(os.environ.get("REMORA_CRASH_ROUNDS", "10"))
SEED = int(os.environ.get("REMORA_CRASH_SEED", "0")) or random.SystemRandom().randrange(1, 10**9)
BLOCK_BYTES, BLOCKS = 256 * 1024, 8


@dataclass
class Ledger:
    """What was acknowledged, by writer; each is only ever told of by its own thread."""

    files: dict[str, bytes] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    versions: list[int] = field(default_factory=lambda: [0])
    blocks: dict[str, set[int]] = field(default_factory=dict)
    doomed: set[str] = field(default_factory=set)  # asked to go, which may have happened
    deleted: set[str] = field(default_factory=set)


@contextmanager
def serving(home: Path) -> Iterator[tuple[subprocess.Popen[str], Any]]:
    """A server process of its own and a client of its share."""
    command = [sys.executable, "-c", SERVE, str(home), KEYS[0]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = f"http://127.0.0.1:{process.stdout.readline().strip()}/{ACCOUNT}"
        with ShareClient(url, "models", credential=KEYS[0], retry_total=0) as share:
            try:
                yield process, share
            finally:
                process.kill()


def version(number: int) -> bytes:
    """A document whose every byte depends on its number, longer than what a socket holds."""
    return hashlib.sha256(b"%d" % number).digest() * 10_000


def block(name: str, number: int) -> bytes:
    return hashlib.sha256(f"{name}/{number}".encode()).digest() * (BLOCK_BYTES // 32)


def create_files(share: Any, ledger: Ledger, turn: int) -> None:
    for n in range(10_000):
        name = f"small-{turn}-{n}"
        data = version(n)[: 1 + 37 * n]
        share.get_file_client(name).create_file(len(data), data=data, metadata={"n": str(n)})
        ledger.files[name], ledger.metadata[name] = data, str(n)
        if n % 3 == 2:
            gone = f"small-{turn}-{n - 1}"
            ledger.doomed.add(gone)
            share.get_file_client(gone).delete_file()
            ledger.deleted.add(gone)


def replace_document(share: Any, ledger: Ledger, turn: int) -> None:
    while True:
        number = ledger.versions[-1] + 1
        data = version(number)
        staged = share.get_file_client(f"staged-{turn}-{number}")
        staged.upload_file(data)
        ledger.versions.append(number)  # from here on either of the two may be found
        staged.rename_file("document", overwrite=True)


def upload_blocks(share: Any, ledger: Ledger, turn: int) -> None:
    for n in range(10_000):
        name = f"large-{turn}-{n}"
        file = share.get_file_client(name)
        file.create_file(BLOCK_BYTES * BLOCKS)
        ledger.blocks[name] = set()
        for number in range(BLOCKS):
            file.upload_range(block(name, number), number * BLOCK_BYTES, BLOCK_BYTES)
            ledger.blocks[name].add(number)


def test_kill_9_at_any_moment_loses_nothing_acknowledged(tmp_path: Path) -> None:
    print(f"seed {SEED}, {ROUNDS} rounds")  # noqa: T201 - pytest shows it where the test fails
    moments, ledger = random.Random(SEED), Ledger()  # noqa: S311
    with serving(tmp_path) as (_, share):
        share.create_share()
        share.get_file_client("document").upload_file(version(0))
    for turn in range(ROUNDS):
        with serving(tmp_path) as (process, share):
            check(share, tmp_path / "shares" / ACCOUNT, ledger)
            work_until_killed(process, share, ledger, turn, moments.uniform(0.02, 0.5))
    with serving(tmp_path) as (_, share):
        check(share, tmp_path / "shares" / ACCOUNT, ledger)
    assert ledger.versions[-1] > ROUNDS
    assert len(ledger.files) > 20
    assert any(ledger.blocks.values())


def work_until_killed(
    process: subprocess.Popen[str], share: Any, ledger: Ledger, turn: int, seconds: float
) -> None:
    """Every writer ends with the connection error that the kill gives it."""
    timer = threading.Timer(seconds, process.kill)
    with ThreadPoolExecutor(3) as pool:
        writers = [
            pool.submit(work, share, ledger, turn) for work in (create_files, replace_document, upload_blocks)
        ]
        timer.start()
        for writer in writers:
            with pytest.raises(AzureError):
                writer.result(60)
    process.wait(10)


def check(share: Any, root: Path, ledger: Ledger) -> None:
    """Through the API and on the disk."""
    directory = root / "models"
    document = share.get_file_client("document").download_file().readall()
    assert document in {version(number) for number in ledger.versions[-2:]}
    ledger.versions = (
        ledger.versions[-2:] if document == version(ledger.versions[-1]) else ledger.versions[-2:-1]
    )
    for name, data in ledger.files.items():
        if name in ledger.doomed:
            assert name not in ledger.deleted or not (directory / name).exists(), name
        else:
            assert (directory / name).read_bytes() == data, name
    for name in list(ledger.files.keys() - ledger.doomed)[-20:]:
        assert share.get_file_client(name).get_file_properties().metadata == {"n": ledger.metadata[name]}
    for name, numbers in ledger.blocks.items():
        content = (directory / name).read_bytes()
        assert len(content) == BLOCK_BYTES * BLOCKS
        for number in numbers:
            assert content[number * BLOCK_BYTES : (number + 1) * BLOCK_BYTES] == block(name, number)
    leftovers = root / ".uploads"
    assert not leftovers.exists() or not list(leftovers.iterdir())
