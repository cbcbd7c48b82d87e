"""Uploads to the local cloud's Azure Files, as a ratio to a stub that discards; alternating rounds.

    python benchmarks/cloud_files.py [ROUNDS]

Microsoft's SDK sends the requests to both, with the same parallelism, from this process: 1,000 files of 4 kB
(eight at a time) and one file of 512 MB (four ranges at a time). The limit is 0.6 of the stub's rate.

Also prints the peak memory of the cloud's process, and the time that this machine needs to write 512 MB to a
file. If that differs between rounds (as on a virtual machine that gets its memory page by page), the upload
does too; the fastest round then shows the cost of the code.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from azure.storage.fileshare import ShareClient

ROUNDS = 5
FILES, FILE_BYTES, PARALLEL_FILES = 1000, 4096, 8
LARGE_BYTES, PARALLEL_RANGES = 512 * 1024 * 1024, 4
ACCOUNT, KEY = "benchmark", base64.b64encode(bytes(64)).decode()
SERVE = """
import sys, asyncio
from pathlib import Path
from containerapps_emulator.listeners import Listener, bind, port_of
from containerapps_emulator.state import State
from containerapps_emulator.storage.app import PROTOCOL, create_files_app
async def main():
    home, key = Path(sys.argv[1]), sys.argv[2]
    state = State(home / "state.sqlite3")
    app = create_files_app(shares_root=home / "shares", account_keys=lambda _: [key], state=state)
    bound = bind(state, "files")
    await Listener(app, bound, http=PROTOCOL).start()
    print(port_of(bound), flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def main() -> None:
    if sys.argv[1:] == ["--stub"]:
        asyncio.run(discard())
        return
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    folder = Path(tempfile.mkdtemp(prefix="remora-files-"))
    try:
        compare(rounds, folder)
    finally:
        shutil.rmtree(folder)


def compare(rounds: int, folder: Path) -> None:
    large = folder / "large.bin"
    with large.open("wb") as stream:
        for _ in range(LARGE_BYTES // (1024 * 1024)):
            stream.write(os.urandom(1024 * 1024))
    jobs: dict[str, Callable[[Any], None]] = {
        f"{FILES} files of {FILE_BYTES} bytes": upload_small,
        f"one file of {LARGE_BYTES >> 20} MiB": lambda share: upload_large(share, large),
    }
    commands = {"stub": [__file__, "--stub"], "local cloud": ["-c", SERVE, str(folder), KEY]}
    with server(commands["stub"]) as (stub, _), server(commands["local cloud"]) as (cloud, process):
        shares = {"stub": client(stub), "local cloud": client(cloud)}
        shares["local cloud"].create_share()
        for name, job in jobs.items():
            report(name, measured(shares, job, rounds, folder / "shares"))
        writes = sorted(plain_write(large, folder / "plain.bin") for _ in range(rounds))
        print(f"writing {LARGE_BYTES >> 20} MiB without any server: {writes[0]:.2f} to {writes[-1]:.2f} s")
        print(f"peak memory of the server: {peak_mib(process.pid)} MiB")


def measured(
    shares: dict[str, Any], job: Callable[[Any], None], rounds: int, root: Path
) -> dict[str, list[float]]:
    """Seconds of each round except the first, by server. Uploads are removed after each round, untimed."""
    seconds: dict[str, list[float]] = {name: [] for name in shares}
    for _ in range(rounds + 1):
        for name, share in shares.items():
            started = time.perf_counter()
            job(share)
            seconds[name].append(time.perf_counter() - started)
            for uploaded in root.rglob("*.bin"):
                uploaded.unlink()
    return {name: times[1:] for name, times in seconds.items()}


def report(job: str, seconds: dict[str, list[float]]) -> None:
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    for name, median in medians.items():
        print(f"{job}, {name}: {median:.2f} s ({min(seconds[name]):.2f} to {max(seconds[name]):.2f})")
    fastest = {name: min(times) for name, times in seconds.items()}
    for word, times in (("medians", medians), ("fastest rounds", fastest)):
        print(f"{job}, {word}: {times['stub'] / times['local cloud']:.2f} of the stub's rate")


def upload_small(share: Any) -> None:
    data = os.urandom(FILE_BYTES)
    with ThreadPoolExecutor(PARALLEL_FILES) as pool:
        list(pool.map(lambda n: share.get_file_client(f"{n:04}.bin").upload_file(data), range(FILES)))


def upload_large(share: Any, source: Path) -> None:
    with source.open("rb") as stream:
        share.get_file_client("large.bin").upload_file(
            stream, length=LARGE_BYTES, max_concurrency=PARALLEL_RANGES
        )


def plain_write(source: Path, target: Path) -> float:
    """Seconds to copy a file in blocks as large as a range."""
    started = time.perf_counter()
    with source.open("rb") as reader, target.open("wb") as writer:
        shutil.copyfileobj(reader, writer, 4 * 1024 * 1024)
    seconds = time.perf_counter() - started
    target.unlink()
    return seconds


def client(port: int) -> Any:
    return ShareClient(f"http://127.0.0.1:{port}/{ACCOUNT}", "models", credential=KEY, retry_total=0)


@contextmanager
def server(arguments: list[str]) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A server's port and process; it prints its port when it listens."""
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline()), process
    finally:
        process.kill()
        process.wait()


def peak_mib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) // 1024


async def discard() -> None:
    listener = await asyncio.get_running_loop().create_server(Discard, "127.0.0.1", 0)
    print(listener.sockets[0].getsockname()[1], flush=True)
    await listener.serve_forever()


class Discard(asyncio.Protocol):
    """Reads a request, discards it and answers 201: the minimum that the SDK accepts."""

    ANSWER = (
        b'HTTP/1.1 201 Created\r\nContent-Length: 0\r\nETag: "0x1"\r\n'
        b"Last-Modified: Sun, 22 Nov 2026 00:00:00 GMT\r\nx-ms-request-server-encrypted: true\r\n\r\n"
    )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.head = b""
        self.body_bytes = 0

    def data_received(self, data: bytes) -> None:
        if self.body_bytes:
            self.body_bytes -= len(data)
        else:
            self.head += data
            if b"\r\n\r\n" not in self.head:
                return
            head, _, body = self.head.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            self.head, self.body_bytes = b"", (int(length[1]) if length else 0) - len(body)
        if not self.body_bytes:
            self.transport.write(self.ANSWER)  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
