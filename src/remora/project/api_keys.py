"""The text format of API keys: one per line, with or without a name. Owns that format; stores no keys.

    # the office
    alice:rk-…            can send requests
    admin:rk-…            can send requests, and load and unload adapters
    rk-…                  can send requests; called key-3, after its line

Two lines can have the same name: while a key is rotated, the old and the new one are both valid.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field

from remora.errors import InvalidInput

ADMIN = "admin"
GENERATED_BYTES = 32
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key and its name in logs, metrics and limits; the key itself is never shown."""

    name: str
    secret: str = field(repr=False)

    @property
    def is_admin(self) -> bool:
        return self.name == ADMIN


def new_secret() -> str:
    """A random key with a prefix that identifies it as Remora's."""
    return f"rk-{secrets.token_urlsafe(GENERATED_BYTES)}"


def parse_api_keys(text: str, origin: str) -> tuple[ApiKey, ...]:
    """The keys of a text; `origin` names it in errors. Raises InvalidInput, which shows no key."""
    lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), start=1))
    return tuple(_key(line, number, origin) for number, line in lines if line and not line.startswith("#"))


def _key(line: str, number: int, origin: str) -> ApiKey:
    name, colon, secret = line.partition(":") if ":" in line else (f"key-{number}", "", line)
    if colon and not NAME.fullmatch(name):
        raise InvalidInput(
            f"the name of the key in line {number} of {origin} is not valid",
            hint="use at most 64 letters, digits, '.', '_' and '-' before the first colon",
            param=origin,
        )
    if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise InvalidInput(
            f"the key in line {number} of {origin} cannot be sent in a header",
            hint="use ASCII letters, digits and signs, without spaces",
            param=origin,
        )
    return ApiKey(name, secret)
