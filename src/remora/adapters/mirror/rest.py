"""Reads a file share over REST with a token: files, ranges of files, and listings. Retries a few times.

https://learn.microsoft.com/rest/api/storageservices/file-service-rest-api; a token needs the header
x-ms-file-request-intent (https://learn.microsoft.com/azure/storage/files/authorize-oauth-rest). Azure Files
knows no conditional requests, so a reader compares ETags itself.
"""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import formatdate
from http.client import HTTPException, HTTPResponse
from pathlib import PurePosixPath
from typing import TypeVar
from urllib.parse import quote, unquote, urlencode
from xml.etree import ElementTree

from remora.adapters.mirror.tokens import Tokens
from remora.errors import CloudUnavailable, InvalidFile, Refused, RemoraError

T = TypeVar("T")

VERSION = "2024-11-04"
TIMEOUT_SECONDS = 60.0
ATTEMPTS = 6
MOST_PAUSE_SECONDS = 30.0
READER = "Storage File Data Privileged Reader"
_CHUNK_BYTES = 256 * 1024
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_FAULTS = (OSError, HTTPException, ElementTree.ParseError)  # of a connection, or of what came over it


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of the share; `path` is relative to the share's root."""

    path: PurePosixPath
    size_bytes: int
    etag: str


class RestShare:
    """One share, by its URL. Safe to use from threads."""

    def __init__(self, url: str, tokens: Tokens, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._url = url.rstrip("/")
        self._tokens = tokens
        self._sleep = sleep

    def read(self, path: PurePosixPath, *, attempts: int = ATTEMPTS) -> bytes | None:
        """A small file's content; None if there is none. Raises CloudUnavailable or Refused."""

        def take(answer: HTTPResponse) -> bytes:
            return answer.read()

        return self._patiently(path, {}, {}, take, attempts)

    def files(self, folder: PurePosixPath) -> list[RemoteFile]:
        """Every file below a folder; a missing folder is empty."""
        found: list[RemoteFile] = []
        marker = ""
        while True:
            query = {"restype": "directory", "comp": "list", "include": "Etag"}
            query |= {"marker": marker} if marker else {}
            page = self._patiently(folder, query, {}, ElementTree.parse, ATTEMPTS)
            if page is None:
                return found
            for entry in page.iterfind("Entries/Directory"):
                found += self.files(folder / _name(folder, entry))
            for entry in page.iterfind("Entries/File"):
                size = int(entry.findtext("Properties/Content-Length") or 0)
                etag = entry.findtext("Properties/Etag") or ""
                found.append(RemoteFile(folder / _name(folder, entry), size, etag.strip('"')))
            marker = page.findtext("NextMarker") or ""
            if not marker:
                return found

    def read_range(
        self, file: RemoteFile, start: int, length: int, write: Callable[[int, bytes], None]
    ) -> None:
        """Pass `length` bytes from `start` on to `write`, each part with its offset in the file.

        After a fault it goes on where it stopped. Raises InvalidFile if the file is another one meanwhile.
        """
        done = 0

        def take(answer: HTTPResponse) -> bool:
            nonlocal done
            if (answer.headers.get("ETag") or "").strip('"') != file.etag:
                raise changed(file)
            if answer.status != 206:
                raise HTTPException(f"the answer to a range has the status {answer.status}")
            while chunk := answer.read(min(_CHUNK_BYTES, length - done)):
                write(start + done, chunk)
                done += len(chunk)
            if done < length:
                raise HTTPException(f"the answer ended after {done} of {length} bytes")
            return True

        def headers() -> dict[str, str]:
            return {"x-ms-range": f"bytes={start + done}-{start + length - 1}"}

        if self._patiently(file.path, {}, headers, take, ATTEMPTS) is None:
            raise changed(file)

    def _patiently(
        self,
        path: PurePosixPath,
        query: dict[str, str],
        headers: dict[str, str] | Callable[[], dict[str, str]],
        take: Callable[[HTTPResponse], T],
        attempts: int,
    ) -> T | None:
        """Ask until it works, at most `attempts` times; None for what does not exist."""
        for attempt in range(1, attempts + 1):
            more = headers() if callable(headers) else headers
            try:
                return self._ask(path, query, more, take)
            except urllib.error.HTTPError as error:
                with error:
                    if error.code == 404:
                        return None
                    pause, problem = self._judged(error, path)
            except _FAULTS as error:
                pause, problem = 0.0, CloudUnavailable(_unreadable(path, error), hint=_HINT)
            if attempt < attempts:
                self._sleep(min(max(pause, 0.25 * 2**attempt), MOST_PAUSE_SECONDS))
        raise problem

    def _ask(
        self,
        path: PurePosixPath,
        query: dict[str, str],
        headers: dict[str, str],
        take: Callable[[HTTPResponse], T],
    ) -> T:
        token = self._tokens.get()
        url = f"{self._url}/{quote(str(path))}" + (f"?{urlencode(query)}" if query else "")
        own = {
            "Authorization": f"Bearer {token}",
            "x-ms-version": VERSION,
            "x-ms-date": formatdate(usegmt=True),
            "x-ms-file-request-intent": "backup",
        }
        request = urllib.request.Request(url, headers={**own, **headers})  # noqa: S310 - of the template
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
                return take(answer)
        except urllib.error.HTTPError as error:
            if error.code == 401:
                self._tokens.forget(token)
            raise

    def _judged(self, error: urllib.error.HTTPError, path: PurePosixPath) -> tuple[float, RemoraError]:
        """How long to wait before the next attempt, and what to say if there is none. Raises Refused."""
        code = error.headers.get("x-ms-error-code") or error.reason
        if error.code == 403:
            raise Refused(
                f"the app's managed identity may not read {path} on the share ({code})",
                hint=f"it needs the role {READER} on the storage account, which takes minutes to take"
                " effect; look at it with: remora why",
            )
        if error.code != 401 and error.code not in _PASSING:
            raise CloudUnavailable(f"{path} cannot be read: HTTP {error.code} {code}", hint=_HINT)
        wait = error.headers.get("Retry-After") or "0"
        seconds = float(wait) if wait.isdecimal() else 0.0
        return seconds, CloudUnavailable(f"{path} cannot be read: HTTP {error.code} {code}", hint=_HINT)


_HINT = "the share is read over REST: look at its network rules, and at the roles of the app's identity"


def changed(file: RemoteFile) -> InvalidFile:
    """The error for a file that is not the listed one any more."""
    return InvalidFile(f"{file.path} on the share changed while it was read", hint="run: remora deploy")


def parts_of(file: RemoteFile, part_bytes: int) -> Iterator[tuple[int, int]]:
    """(start, length) of the ranges that a file is read in."""
    for start in range(0, file.size_bytes, part_bytes):
        yield start, min(part_bytes, file.size_bytes - start)


def _name(folder: PurePosixPath, entry: ElementTree.Element) -> str:
    """An entry's name, which can lead nowhere else. Raises InvalidFile."""
    found = entry.find("Name")
    name = (found.text or "") if found is not None else ""
    if found is not None and found.get("Encoded") == "true":
        name = unquote(name)
    if not name or name in (".", "..") or any(sign in name for sign in "/\\\0"):
        raise InvalidFile(f"{folder} on the share lists {name!r}, which is no name", hint="look at the share")
    return name


def _unreadable(path: PurePosixPath, error: Exception) -> str:
    return f"{path} cannot be read from the share: {error}"
