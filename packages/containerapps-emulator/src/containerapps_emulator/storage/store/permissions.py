"""The permissions of a share: security descriptors by key. What has none of its own has the default.

They are rows beside the properties of the share's files, and move and go with them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

from containerapps_emulator.state import State
from containerapps_emulator.storage.errors import FilesError
from containerapps_emulator.storage.store.properties import KIND
from containerapps_emulator.storage.store.tree import Kind

_FOLDER: Final = ":permissions"  # no file has such a name
_DEFAULT_TEXTS: Final[Mapping[Kind, str]] = {
    "directory": "O:SYG:SYD:(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1301bf;;;AU)(A;OICI;0x1200a9;;;BU)",
    "file": "O:SYG:SYD:AI(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1301bf;;;AU)(A;ID;0x1200a9;;;BU)",
}


def key_of(text: str) -> str:
    """Two numbers of 64 bits, as Azure's keys; the same for the same text."""
    digest = hashlib.sha256(text.encode()).digest()
    return "*".join(str(int.from_bytes(digest[at : at + 8], "big")) for at in (0, 8))


DEFAULT_KEYS: Final[Mapping[Kind, str]] = {kind: key_of(text) for kind, text in _DEFAULT_TEXTS.items()}
_DEFAULTS: Final = {key_of(text): text for text in _DEFAULT_TEXTS.values()}


class Permissions:
    """Texts are SDDL in their normal form. `share` is the key of the share's rows."""

    def __init__(self, state: State) -> None:
        self._state = state

    def save(self, share: str, text: str) -> str:
        """The key of the permission."""
        key = key_of(text)
        if key not in _DEFAULTS:
            self._state.put(KIND, f"{share}/{_FOLDER}/{key}", {"permission": text})
        return key

    def find(self, share: str, key: str) -> str:
        """The text of the permission with this key. Raises FilesError."""
        if key in _DEFAULTS:
            return _DEFAULTS[key]
        document = self._state.get(KIND, f"{share}/{_FOLDER}/{key}")
        if document is None:
            raise FilesError("InvalidHeaderValue", f"x-ms-file-permission-key: {key}")
        return str(document["permission"])
