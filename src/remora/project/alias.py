"""Aliases: the names by which clients ask for an adapter, and the folder of it on the share."""

from __future__ import annotations

import re

ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
RULE = "letters, digits, '.', '_' and '-', starting with a letter or digit, at most 64 characters"


def is_alias(text: str) -> bool:
    """Whether a text can be an alias: a safe file name, and free of `:`, `@` and `/`."""
    return ALIAS.fullmatch(text) is not None and not text.endswith(".")


def alias_from(text: str) -> str:
    """The nearest alias to a folder's name."""
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._").lower()
    return cleaned[:64].rstrip("-._") or "adapter"
