"""Regular expressions from an adapter's config, matched against module names where they can be stopped.

Python's `re` backtracks, and holds the interpreter's lock meanwhile: an expression of ten characters can stop
a process, and with it every request of a replica, for longer than anybody waits. So they are matched in a
process of its own, which ends itself when its time is over. Knows no PEFT; what an expression is for is said
by `module_settings`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Collection

from remora.errors import AdapterRejected, listed

MAX_CHARACTERS = 65_536
LIMIT_SECONDS = 3

# `faulthandler` ends the process from a thread that does not need the interpreter's lock.
_CHILD = f"""
import faulthandler, json, re, sys
faulthandler.dump_traceback_later({LIMIT_SECONDS}, exit=True)
patterns, names = json.load(sys.stdin)
found = {{}}
for pattern in patterns:
    match = re.compile(pattern).fullmatch
    found[pattern] = [name for name in names if match(name)]
json.dump(found, sys.stdout)
"""


def check_pattern(pattern: str, *, origin: str) -> None:
    """Raises AdapterRejected, beginning with `origin`, where this is no regular expression."""
    if len(pattern) > MAX_CHARACTERS:
        raise AdapterRejected(f"{origin} has {len(pattern):,} characters; {MAX_CHARACTERS:,} are allowed")
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise AdapterRejected(f"{origin} {pattern!r} is no regular expression: {error}") from error


def matching(patterns: Collection[str], names: Collection[str], *, origin: str) -> dict[str, frozenset[str]]:
    """For each pattern the names that it matches whole.

    Raises AdapterRejected, beginning with `origin`, where that takes longer than LIMIT_SECONDS.
    """
    if not patterns:
        return {}
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _CHILD],
        input=json.dumps([list(patterns), list(names)]),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="ascii",
        check=False,
    )
    if ran.returncode:
        raise AdapterRejected(
            f"{origin} has a regular expression that takes more than {LIMIT_SECONDS} s to match:"
            f" {listed(map(repr, patterns))[:200]}",
            hint="name the modules one by one instead",
        )
    found: dict[str, list[str]] = json.loads(ran.stdout)
    return {pattern: frozenset(matched) for pattern, matched in found.items()}
