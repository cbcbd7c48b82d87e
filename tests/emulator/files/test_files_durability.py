"""What was acknowledged survives kill -9; who reads while others write sees whole files."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from azure.storage.fileshare import ContentSettings, ShareClient

SERVE = """
import socket, sys, uvicorn
from pathlib import Path
from containerapps_emulator.state import State
from containerapps_emulator.storage.app import PROTOCOL, create_files_app
home, key = Path(sys.argv[1]), sys.argv[2]
app = create_files_app(
    shares_root=home / "shares", account_keys=lambda _: [key], state=State(home / "state.sqlite3")
)
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
config = uvicorn.Config(app, log_level="error", lifespan="off", http=PROTOCOL, loop="asyncio")
uvicorn.Server(config).run([listener])
"""


def test_nothing_acknowledged_is_lost_to_kill_9(start_server: Callable[[], Any], tmp_path: Path) -> None:
    survivor = start_server()
    command = [sys.executable, "-c", SERVE, str(tmp_path), survivor.key]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        url = f"http://127.0.0.1:{port}/{survivor.account}"
        with ShareClient(url, "models", credential=survivor.key) as doomed:
            doomed.create_share()
            file = doomed.get_file_client("tmp.bin")
            file.create_file(8, metadata={"a": "b"}, content_settings=ContentSettings(content_md5=b"m" * 16))
            file.upload_range(b"abcd", offset=0, length=4)
            lease = doomed.get_file_client("tmp.bin").rename_file("live.bin").acquire_lease()
            process.kill()
            process.wait(10)
    with start_server().share() as share:
        file = share.get_file_client("live.bin")
        assert file.download_file().readall() == b"abcd\0\0\0\0"
        properties = file.get_file_properties()
        assert properties.metadata == {"a": "b"}
        assert properties.content_settings.content_md5 == b"m" * 16
        file.delete_file(lease=lease.id)


def test_a_file_replaced_by_rename_is_whole_for_every_reader(share: Any, share_path: Path) -> None:
    size_bytes, rounds = 200_000, 15
    share.get_file_client("live").upload_file(b"0" * size_bytes)
    done = threading.Event()

    def replace(writer: int) -> None:
        for _ in range(rounds):
            staged = share.get_file_client(f"tmp-{writer}")
            staged.upload_file(str(writer).encode() * size_bytes)
            staged.rename_file("live", overwrite=True)

    def read() -> set[tuple[int, int]]:
        """(length, number of different bytes) of all that was seen."""
        seen = set()
        while not done.is_set():
            for content in (
                share.get_file_client("live").download_file().readall(),
                (share_path / "live").read_bytes(),
            ):
                seen.add((len(content), len(set(content))))
        return seen

    with ThreadPoolExecutor(4) as pool:
        reader = pool.submit(read)
        writers = [pool.submit(replace, writer) for writer in (1, 2, 3)]
        for writer in writers:
            writer.result(60)
        done.set()
        assert reader.result(10) == {(size_bytes, 1)}
    assert [path.name for path in share_path.iterdir()] == ["live"]


def test_many_clients_write_ranges_of_one_file_at_once(share: Any, share_path: Path) -> None:
    block_bytes, blocks = 64 * 1024, 40
    file = share.get_file_client("big")
    file.create_file(block_bytes * blocks)

    def write(block: int) -> str:
        data = bytes([block]) * block_bytes
        return str(file.upload_range(data, offset=block * block_bytes, length=block_bytes)["etag"])

    with ThreadPoolExecutor(8) as pool:
        etags = list(pool.map(write, range(blocks)))
    assert (share_path / "big").read_bytes() == b"".join(
        bytes([block]) * block_bytes for block in range(blocks)
    )
    assert len(set(etags)) == blocks
    assert file.get_file_properties().etag in etags
