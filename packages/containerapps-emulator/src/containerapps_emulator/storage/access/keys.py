"""The two keys of every storage account: created once, kept until regenerated."""

from __future__ import annotations

import base64
import secrets
from typing import Any

from containerapps_emulator.arm.timestamps import now_text
from containerapps_emulator.state import Json, State

_KIND = "account-keys"
KEY_NAMES = ("key1", "key2")


class AccountKeys:
    """Keys by account name, each a document `{keyName, value, permissions, creationTime}`."""

    def __init__(self, state: State) -> None:
        self._state = state

    def ensure(self, account: str) -> None:
        """Create the keys; an account that has keys keeps them."""
        if self._state.get(_KIND, account) is None:
            self._state.put(_KIND, account, {name: _new_key(name) for name in KEY_NAMES})

    def values(self, account: str) -> list[str]:
        """The base64 keys of the account; empty if there is no such account."""
        return [key["value"] for key in self.show(account)]

    def show(self, account: str) -> list[Json]:
        """The keys as listKeys shows them."""
        keys: dict[str, Any] = self._state.get(_KIND, account) or {}
        return [keys[name] for name in KEY_NAMES if name in keys]

    def regenerate(self, account: str, key_name: str) -> None:
        """Replace one key; the old one stops working."""
        keys = self._state.get(_KIND, account) or {}
        self._state.put(_KIND, account, {**keys, key_name: _new_key(key_name)})

    def forget(self, account: str) -> None:
        self._state.delete(_KIND, account)


def _new_key(name: str) -> Json:
    value = base64.b64encode(secrets.token_bytes(64)).decode()
    return {"creationTime": now_text(), "keyName": name, "value": value, "permissions": "FULL"}
