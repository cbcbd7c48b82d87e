"""Aliases: the names that clients send to select an adapter, also used as folder names on the share."""

from __future__ import annotations

import re
from collections.abc import Collection

ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
RULE = "letters, digits, '.', '_' and '-', starting with a letter or digit, at most 64 characters"


def is_alias(text: str) -> bool:
    """Whether a text can be an alias: a safe file name, and free of `:`, `@` and `/`."""
    return ALIAS.fullmatch(text) is not None and not text.endswith(".")


def alias_from(text: str) -> str:
    """The nearest alias to a folder's name."""
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._").lower()
    return cleaned[:64].rstrip("-._") or "adapter"


def numbered(name: str, taken: Collection[str]) -> str:
    """The alias, or with a number the first one that is not taken."""
    candidate, count = name, 1
    while candidate in taken:
        count += 1
        candidate = f"{name[:58]}-{count}"
    return candidate
