"""Compares what a page shows with what its commands print. Owns which differences do not count.

A block marked `output` shows lines of the output, in their order; it may leave lines out. Numbers, times,
digests and the names of apps vary, and so does the space between columns. "…" stands for any text.
"""

from __future__ import annotations

import re

from tests.docs.blocks import ROOT, blocks_of

OUTPUT = "output"
VARIES = (
    (re.compile(r"\x1b\[[0-9;]*m"), ""),
    (re.compile(r"\baiacaapp\w+"), "APP"),
    (re.compile(r"\b[0-9a-f]{12}\b|\d+(?:\.\d+)?"), "#"),
    (re.compile(r"\s+"), " "),
)


def not_printed(page: str, printed: str) -> list[str]:
    """The lines that blocks marked `output` show and that were not printed in this order."""
    missing = []
    for block in blocks_of(ROOT / page):
        if block.mark == OUTPUT:
            missing += [f"{block.where}: {line}" for line in missing_lines(block.text, printed)]
    return missing


def missing_lines(shown: str, printed: str) -> list[str]:
    rest, missing = [plain(line) for line in printed.splitlines()], []
    for line in filter(None, map(plain, shown.splitlines())):
        pattern = re.compile(".*".join(re.escape(part) for part in line.split("…")))
        place = next((number for number, each in enumerate(rest) if pattern.fullmatch(each)), None)
        if place is None:
            missing.append(line)
        else:
            rest = rest[place + 1 :]
    return missing


def plain(line: str) -> str:
    for pattern, instead in VARIES:
        line = pattern.sub(instead, line)
    return line.strip()
