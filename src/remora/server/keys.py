"""Where an endpoint's API keys come from. Owns reading and making them; never prints or logs one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from remora.errors import InvalidFile, InvalidInput

VARIABLE = "REMORA_API_KEY"
GENERATED_BYTES = 32


def keys_from_environment(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The keys of REMORA_API_KEY, one a line; none where it is not set."""
    return _keys_of(environment.get(VARIABLE, ""), VARIABLE)


def keys_from_file(path: Path) -> tuple[str, ...]:
    """The keys of a file, one a line; a file without any is refused."""
    try:
        keys = _keys_of(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidFile(f"the API key file {path} cannot be read", hint="write one key a line") from error
    if not keys:
        raise InvalidFile(f"the API key file {path} has no key in it", hint="write one key a line")
    return keys


def kept_key(path: Path) -> tuple[str, ...]:
    """The key kept in this file; made on the first use, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Two starts at once must not overwrite each other's key: only one of them creates the file.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return keys_from_file(path)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{secrets.token_urlsafe(GENERATED_BYTES)}\n")
    return keys_from_file(path)


def _keys_of(text: str, origin: str) -> tuple[str, ...]:
    keys = tuple(line.strip() for line in text.splitlines() if line.strip())
    for number, key in enumerate(keys, start=1):
        if not key.isascii() or not key.isprintable() or " " in key:
            raise InvalidInput(
                f"key {number} of {origin} cannot travel in a header",
                hint="use ASCII letters, digits and signs, without spaces",
                param=origin,
            )
    return keys
