"""The current user and host, and texts cut to a number of bytes. Writes nothing."""

from __future__ import annotations

import getpass
import os
import socket

_NAME_BYTES = 64


def who() -> str:
    """The user's name; the user id if the system has no name for it."""
    try:
        return cut(getpass.getuser(), _NAME_BYTES)
    except (OSError, KeyError):
        return f"user {os.getuid()}"


def host() -> str:
    """This machine's name."""
    return cut(socket.gethostname(), _NAME_BYTES)


def cut(text: str, most_bytes: int) -> str:
    """A text cut to at most `most_bytes` of UTF-8, between characters; "?" for what cannot be encoded."""
    data = "".join(each if each.isprintable() else "?" for each in text).encode("utf-8", "replace")
    if len(data) <= most_bytes:
        return data.decode()
    return f"{data[: most_bytes - len('…'.encode())].decode('utf-8', 'ignore')}…"
