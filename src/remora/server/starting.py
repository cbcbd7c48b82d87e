"""What an endpoint answers while its model loads: probes, and a page with the progress for a browser.

Owns the listener until the endpoint takes it over. Every other connection is kept as it is, with its request
unread, and the endpoint answers it when it serves. So a client that comes early waits, and loses nothing.
"""

from __future__ import annotations

import errno
import json
import selectors
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

from remora import __version__
from remora.adapters.starting_note import StartingNote
from remora.errors import NotReady
from remora.server.access.auth import PROBED_PATHS
from remora.server.access.page_headers import HEADERS
from remora.server.ui.side_by_side import PAGE_PATH
from remora.server.wire.dialects import OPENAI, problem_of
from remora.server.wire.page_file import page_file

READY_PATH = "/readyz"
ALIVE_PATHS = PROBED_PATHS - {READY_PATH}
PAGE_PATHS = frozenset({"/", "/login", PAGE_PATH})
MOST_KEPT = 256  # connections; those that come then wait with the kernel
RETRY_SECONDS = 1
_OUT_OF_DESCRIPTORS = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
_PAUSE_SECONDS = 0.1
_HEAD_BYTES = 16 * 1024
_END_OF_HEAD = b"\r\n\r\n"
_ANSWER = (
    "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\ncache-control: no-store\r\n"
    "retry-after: {retry}\r\nconnection: close\r\n{security}\r\n"
)
_SECURITY = "".join(f"{name.decode()}: {value.decode()}\r\n" for name, value in HEADERS)


class Starting:
    """Answers on a listener from a thread of its own while the block runs, or until `hand_over`.

    What it is told is on the share too, by `note`, for who cannot reach this replica yet.
    """

    def __init__(self, listener: socket.socket, *, page: bool, note: StartingNote | None = None) -> None:
        self._listener = listener
        self._note = note
        self._page = page_file("starting.html", css=("card.css",)) if page else ""
        self._told = "starting"
        self._kept: list[socket.socket] = []
        self._wake, self._waker = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="remora-starting", daemon=True)

    def tell(self, progress: str) -> None:
        """Say this of the progress from now on. It is shown to everybody who asks, without a key."""
        self._told = f"starting: {progress}"
        if self._note:
            self._note.tell(progress)

    def __enter__(self) -> Self:
        self._thread.start()
        if self._note:
            self._note.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for connection in self.hand_over():
            connection.close()

    def hand_over(self) -> Sequence[socket.socket]:
        """Stop answering; the connections whose requests nobody has read. A second call returns none."""
        if self._thread.is_alive():
            self._waker.send(b"x")
            self._thread.join()
            self._wake.close()
            self._waker.close()
            if self._note:
                self._note.end()
        kept, self._kept = self._kept, []
        return kept

    def _run(self) -> None:
        self._listener.setblocking(False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake, selectors.EVENT_READ)
            selector.register(self._listener, selectors.EVENT_READ, partial(self._accept, selector))
            while True:
                ready = [key.data for key, _ in selector.select()]
                if None in ready:  # the waker
                    return
                for act in ready:
                    act()

    def _accept(self, selector: selectors.BaseSelector) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError as error:
            if error.errno in _OUT_OF_DESCRIPTORS:  # it still waits, and would be there again at once
                time.sleep(_PAUSE_SECONDS)
            return  # else it is gone already
        connection.setblocking(False)
        self._kept.append(connection)
        selector.register(connection, selectors.EVENT_READ, partial(self._look, selector, connection))
        if len(self._kept) >= MOST_KEPT:
            selector.unregister(self._listener)

    def _look(self, selector: selectors.BaseSelector, connection: socket.socket) -> None:
        """Answer the request if it is one of ours; else leave it unread. A connection is looked at once."""
        selector.unregister(connection)
        try:
            head = connection.recv(_HEAD_BYTES, socket.MSG_PEEK)
            answer = self._answer(head) if _END_OF_HEAD in head else None
            if head and answer is None:
                return
            if answer is not None:
                connection.recv(head.index(_END_OF_HEAD) + len(_END_OF_HEAD))
                connection.send(answer)
                connection.shutdown(socket.SHUT_WR)
        except OSError:  # the client is gone
            pass
        self._kept.remove(connection)
        connection.close()

    def _answer(self, head: bytes) -> bytes | None:
        line, _, headers = head.decode("latin-1").partition("\r\n")
        method, _, rest = line.partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        if method != "GET":
            return None
        if path in ALIVE_PATHS:
            return _response("200 OK", "application/json", {"status": "alive", "version": __version__})
        if path == READY_PATH:
            problem = problem_of(NotReady(self._told))
            return _response("503 Service Unavailable", "application/json", OPENAI.body(problem))
        if self._page and path in PAGE_PATHS and "text/html" in headers:
            return _response("503 Service Unavailable", "text/html; charset=utf-8", self._page)
        return None


def _response(status: str, kind: str, content: str | Mapping[str, Any]) -> bytes:
    body = (content if isinstance(content, str) else json.dumps(content)).encode()
    head = _ANSWER.format(status=status, kind=kind, length=len(body), retry=RETRY_SECONDS, security=_SECURITY)
    return head.encode() + body
