"""Parses a request path: account, share, and a path inside the share. Touches no disk.

No path that this file returns can leave a share: every part is one plain name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

from containerapps_emulator.storage.errors import FilesError

_ACCOUNT: Final = re.compile(r"[a-z0-9]{3,24}\Z")
_SHARE: Final = re.compile(r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]\Z")
_FORBIDDEN: Final = re.compile('[\x00-\x1f\x7f"\\\\/:|<>*?\ud800-\udfff]')
_MAX_NAME_CHARACTERS: Final = 255
_MAX_PATH_CHARACTERS: Final = 2048
_MAX_DEPTH: Final = 250


@dataclass(frozen=True, slots=True)
class Target:
    """`share` is empty for the account itself; `path` is empty for the root directory of the share."""

    account: str
    share: str
    path: tuple[str, ...]


def parse_target(raw_path: str, *, keep_trailing_dots: bool) -> Target:
    """Read the still percent-encoded `/account/share/path`. Raises FilesError.

    An encoded slash separates names, as a plain one does: the SDK encodes the slashes of a directory's path.
    """
    account, *rest = _decode(raw_path.removeprefix("/")).split("/")
    if rest and rest[-1] == "":
        rest.pop()
    if not _ACCOUNT.match(account):
        raise FilesError("InvalidUri", f"'{account}' is not a storage account name.")
    if not rest:
        return Target(account, "", ())
    if not _SHARE.match(rest[0]):
        raise FilesError("InvalidResourceName", f"'{rest[0]}' is not a share name.")
    return Target(account, rest[0], _path(rest[1:], keep_trailing_dots))


def parse_source(url: str, *, keep_trailing_dots: bool) -> Target:
    """The target that a URL in a header (x-ms-file-rename-source) names."""
    return parse_target(urlsplit(url).path, keep_trailing_dots=keep_trailing_dots)


def is_name(name: str) -> bool:
    """Whether the API can address this path part; a container can write others."""
    return name not in {"", ".", ".."} and len(name) <= _MAX_NAME_CHARACTERS and not _FORBIDDEN.search(name)


def is_share_name(name: str) -> bool:
    return bool(_SHARE.match(name))


def fold(name: str) -> str:
    """Two names with the same fold are the same file."""
    return name.lower()


def _path(parts: list[str], keep_trailing_dots: bool) -> tuple[str, ...]:
    names = tuple(part if keep_trailing_dots else part.rstrip(".") for part in parts)
    for part, name in zip(parts, names, strict=True):
        if not is_name(name):
            raise FilesError("InvalidResourceName", f"'{part}' is not a file or directory name.")
    if len(names) > _MAX_DEPTH or len("/".join(names)) > _MAX_PATH_CHARACTERS:
        raise FilesError("InvalidFileOrDirectoryPathName")
    return names


def _decode(path: str) -> str:
    try:
        return unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        raise FilesError("InvalidUri", "The path is not UTF-8.") from None
