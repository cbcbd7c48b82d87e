"""The keys of a container app's endpoint. Owns which secret has which; how one is written down is `api_keys`.

    remora-api-key     a key a line, as `key` or `name:key`    REMORA_API_KEY
    remora-admin-key   an admin key a line                     REMORA_ADMIN_KEY

An app that somebody made by hand may have them in secrets of other names: its variables say which.
"""

from __future__ import annotations

from dataclasses import dataclass

from remora.azure.apps import (
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
    """The variable, and the secret for an app that has none of its own."""

    variable: str
    secret: str


_OF_ADMIN = _Place(ADMIN_KEY_VARIABLE, ADMIN_KEY_SECRET)
_OF_CLIENTS = _Place(API_KEY_VARIABLE, API_KEY_SECRET)


class AppKeys:
    """The keys of one app, oldest first. What is changed holds from the next revision on."""

    def __init__(self, app: ContainerApp) -> None:
        self._app = app

    def all(self) -> tuple[ApiKey, ...]:
        """Keys of clients, then those of the admin."""
        return tuple(key for admin in (False, True) for key, _ in self._lines(admin=admin))

    def secret_of(self, name: str) -> str:
        """The newest key of this name. Raises NotFound."""
        found = [key.secret for key in self.all() if key.name == name]
        if not found:
            raise self._unknown(name)
        return found[-1]

    def add(self, name: str) -> str:
        """Make a key and return it. One of the same name stays good, until it is removed.

        Raises InvalidInput where that is no name.
        """
        if not NAME.fullmatch(name):
            raise InvalidInput(
                f"{name!r} is no name for a key",
                hint="use at most 64 letters, digits, '.', '_' and '-'",
                param="NAME",
            )
        secret, admin = new_secret(), name == ADMIN
        lines = [line for _, line in self._lines(admin=admin)]
        self._keep([*lines, secret if admin else f"{name}:{secret}"], admin=admin)
        return secret

    def remove(self, name: str) -> None:
        """Take the oldest key of this name out. Raises NotFound, or InvalidInput for the last of its kind."""
        admin = name == ADMIN
        lines = self._lines(admin=admin)
        place = next((index for index, (key, _) in enumerate(lines) if key.name == name), None)
        if place is None:
            raise self._unknown(name)
        if len(lines) == 1:
            raise InvalidInput(
                f"{name!r} is the last key of its kind, and the endpoint needs one",
                hint=f"exchange it: remora keys add {name}, and then remove the old one",
                param="NAME",
            )
        self._keep([line for index, (_, line) in enumerate(lines) if index != place], admin=admin)

    def _lines(self, *, admin: bool) -> list[tuple[ApiKey, str]]:
        """Keys with the lines that they are written in."""
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
