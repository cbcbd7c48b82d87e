"""Steps of JSON pointers (RFC 6901), which templates and reports refer to places with."""

from __future__ import annotations


def encoded(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1")


def decoded(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")
