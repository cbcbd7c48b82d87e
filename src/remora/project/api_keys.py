"""API keys as they are written down: one a line, with a name or without. Owns that format; keeps no key.

    # the office
    alice:rk-…            may ask
    admin:rk-…            may ask, and load and unload adapters
    rk-…                  may ask; called key-3, after its line

Two lines may have the same name: while a key is exchanged the old one and the new one are both good.
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
    """A key and the name that logs, metrics and limits know it by; the key itself is never shown."""

    name: str
    secret: str = field(repr=False)

    @property
    def is_admin(self) -> bool:
        return self.name == ADMIN


def new_secret() -> str:
    """A key that nobody can guess, and that is known for one of ours where it turns up."""
    return f"rk-{secrets.token_urlsafe(GENERATED_BYTES)}"


def parse_api_keys(text: str, origin: str) -> tuple[ApiKey, ...]:
    """The keys of a text; `origin` names it in errors. Raises InvalidInput, which shows no key."""
    lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), start=1))
    return tuple(_key(line, number, origin) for number, line in lines if line and not line.startswith("#"))


def _key(line: str, number: int, origin: str) -> ApiKey:
    name, colon, secret = line.partition(":") if ":" in line else (f"key-{number}", "", line)
    if colon and not NAME.fullmatch(name):
        raise InvalidInput(
            f"the name of the key in line {number} of {origin} is not a name",
            hint="a name has letters, digits, '.', '_' and '-', at most 64, and ends at the first colon",
            param=origin,
        )
    if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise InvalidInput(
            f"the key in line {number} of {origin} cannot travel in a header",
            hint="use ASCII letters, digits and signs, without spaces",
            param=origin,
        )
    return ApiKey(name, secret)
