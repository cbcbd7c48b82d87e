"""The keys of a container app's endpoint. Owns which secret holds which keys; `api_keys` owns their format.

    remora-api-key     one key per line, as `key` or `name:key`    REMORA_API_KEY
    remora-admin-key   one admin key per line                      REMORA_ADMIN_KEY

An app that was created by hand can have them in secrets with other names: its variables refer to those.
"""

from __future__ import annotations

from dataclasses import dataclass

from remora.azure.app.apps import (
    ADMIN_KEY_SECRET,
    ADMIN_KEY_VARIABLE,
    API_KEY_SECRET,
    API_KEY_VARIABLE,
    ContainerApp,
)
from remora.errors import InvalidInput, NotFound
from remora.project.api_keys import ADMIN, NAME, ApiKey, new_secret, parse_api_keys


@dataclass(frozen=True, slots=True)
class _Place:
    """The variable, and the secret to use if the app's variable refers to none."""

    variable: str
    secret: str


_OF_ADMIN = _Place(ADMIN_KEY_VARIABLE, ADMIN_KEY_SECRET)
_OF_CLIENTS = _Place(API_KEY_VARIABLE, API_KEY_SECRET)


class AppKeys:
    """The keys of one app, oldest first. Each change creates a new revision."""

    def __init__(self, app: ContainerApp) -> None:
        self._app = app

    def all(self) -> tuple[ApiKey, ...]:
        """The client keys, then the admin keys."""
        return tuple(key for admin in (False, True) for key, _ in self._lines(admin=admin))

    def secret_of(self, name: str) -> str:
        """The newest key of this name. Raises NotFound."""
        found = [key.secret for key in self.all() if key.name == name]
        if not found:
            raise self._unknown(name)
        return found[-1]

    def add(self, name: str) -> str:
        """Create a key and return it. Existing keys of the same name stay valid until they are removed.

        Raises InvalidInput if the name is not valid.
        """
        if not NAME.fullmatch(name):
            raise InvalidInput(
                f"{name!r} is not a valid name for a key",
                hint="use at most 64 letters, digits, '.', '_' and '-'",
                param="NAME",
            )
        secret, admin = new_secret(), name == ADMIN
        lines = [line for _, line in self._lines(admin=admin)]
        self._keep([*lines, secret if admin else f"{name}:{secret}"], admin=admin)
        return secret

    def remove(self, name: str) -> None:
        """Remove the oldest key of this name. Raises NotFound, or InvalidInput for the last of its kind."""
        admin = name == ADMIN
        lines = self._lines(admin=admin)
        place = next((index for index, (key, _) in enumerate(lines) if key.name == name), None)
        if place is None:
            raise self._unknown(name)
        if len(lines) == 1:
            raise InvalidInput(
                f"{name!r} is the last key of its kind, and the endpoint needs one",
                hint=f"replace it: remora keys add {name}, then remove the old one",
                param="NAME",
            )
        self._keep([line for index, (_, line) in enumerate(lines) if index != place], admin=admin)

    def _lines(self, *, admin: bool) -> list[tuple[ApiKey, str]]:
        """The keys with their lines."""
        place = _OF_ADMIN if admin else _OF_CLIENTS
        lines = [line.strip() for line in self._app.given(place.variable).value.splitlines()]
        lines = [line for line in lines if line and not line.startswith("#")]
        named = "\n".join(f"{ADMIN}:{line}" if admin else line for line in lines)
        return list(zip(parse_api_keys(named, place.variable), lines, strict=True))

    def _keep(self, lines: list[str], *, admin: bool) -> None:
        place = _OF_ADMIN if admin else _OF_CLIENTS
        secret = self._app.given(place.variable).secret or place.secret
        self._app.set_secret(secret, "\n".join(lines), variable=place.variable)

    def _unknown(self, name: str) -> NotFound:
        return NotFound(f"container app {self._app.name!r} has no key {name!r}", hint="see: remora keys list")
