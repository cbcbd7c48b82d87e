"""Where an endpoint's API keys come from. Owns reading and making them; never prints or logs one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from remora.errors import InvalidFile, InvalidInput
from remora.project.api_keys import ADMIN, ApiKey, new_secret, parse_api_keys

VARIABLE = "REMORA_API_KEY"
ADMIN_VARIABLE = "REMORA_ADMIN_KEY"
FILE_VARIABLE = "REMORA_API_KEY_FILE"


def keys_from_environment(environment: Mapping[str, str]) -> tuple[ApiKey, ...]:
    """The keys of REMORA_API_KEY, one a line, each as `key` or `name:key`; none where it is not set."""
    return parse_api_keys(environment.get(VARIABLE, ""), VARIABLE)


def admin_key_from_environment(environment: Mapping[str, str]) -> tuple[ApiKey, ...]:
    """The key of REMORA_ADMIN_KEY, or several, one a line; none where it is not set."""
    lines = environment.get(ADMIN_VARIABLE, "").split()
    return parse_api_keys("\n".join(f"{ADMIN}:{line}" for line in lines), ADMIN_VARIABLE)


def keys_from_file(path: Path) -> tuple[ApiKey, ...]:
    """The keys of a file, one a line; a file without any is refused."""
    hint = "write one key a line, as `key` or `name:key`"
    try:
        keys = parse_api_keys(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidFile(f"the API key file {path} cannot be read", hint=hint) from error
    except InvalidInput as error:
        raise InvalidFile(error.message, hint=error.hint) from error
    if not keys:
        raise InvalidFile(f"the API key file {path} has no key in it", hint=hint)
    return keys


def keep_key(path: Path) -> None:
    """Make the key that is kept in this file, readable by its owner only; one that is there stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Two starts at once must not overwrite each other's key: only one of them creates the file.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"{new_secret()}\n")
