"""Clients that come by the thousand: plain sockets, since an SDK's client is heavier than what is tested."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

from tests.load.servers import KEY

END = b"data: [DONE]\n\n"
LIMIT_BYTES = 1 << 20


def completion(model: str, prompt: str, *, max_tokens: int, stream: bool, **fields: Any) -> bytes:
    """A whole request for a text completion."""
    body = {"model": model, "prompt": prompt, "max_tokens": max_tokens, "stream": stream, **fields}
    content = json.dumps(body).encode()
    head = (
        f"POST /v1/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {KEY}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


class Connection:
    """One client's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def to(cls, url: str) -> Connection:
        host, port = url.removeprefix("http://").split(":")
        return cls(*await asyncio.open_connection(host, int(port), limit=LIMIT_BYTES))

    async def stream(self, request: bytes) -> int:
        """How many events came before the end of the stream."""
        await self.begin(request)
        return await self.rest()

    async def rest(self) -> int:
        """As `stream`, of one that was begun."""
        count, tail = 0, b""
        while END not in tail:
            data = await self._reader.read(LIMIT_BYTES)
            assert data, "the stream broke off"
            count += data.count(b"data: {")
            tail = (tail + data)[-2 * len(END) :]
        return count

    async def begin(self, request: bytes) -> None:
        """Ask, read the head of the answer, and leave the rest unread."""
        self._writer.write(request)
        assert (await self._head())[0] == 200

    async def ask(self, request: bytes) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Status, document and headers of an answer that is not streamed."""
        self._writer.write(request)
        status, headers = await self._head()
        document = json.loads(await self._reader.readexactly(int(headers["content-length"])))
        return status, document, headers

    async def leave(self) -> None:
        """Go away in the middle of whatever there is."""
        self._writer.transport.abort()
        await self.close()

    async def close(self) -> None:
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _head(self) -> tuple[int, dict[str, str]]:
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = (line.partition(":") for line in lines[1:] if line)
        return int(lines[0].split()[1]), {name.lower(): value.strip() for name, _, value in fields}
