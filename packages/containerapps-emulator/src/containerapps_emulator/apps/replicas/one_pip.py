"""Lets one pip at a time work in an environment: two replicas that start together share it.

Copied into the environment and imported whenever its Python starts. Standard library only, and little of it.
"""

import os
import sys

INSIDE = "REMORA_INSIDE_PIP"  # a pip that another pip starts must not wait for it


def runs_pip(words: list[str]) -> bool:
    """Whether this command line is `python -m pip …` or a script called pip."""
    rest = iter(words[1:])
    for word in rest:
        if word == "-m":
            return next(rest, "") == "pip"
        if not word.startswith("-"):
            return os.path.basename(word).rstrip("0123456789.") == "pip"  # noqa: PTH119 - starts with every Python
    return False


if runs_pip(sys.orig_argv) and INSIDE not in os.environ:
    import fcntl

    os.environ[INSIDE] = "1"
    lock = os.open(os.path.join(sys.prefix, ".one-pip"), os.O_RDWR | os.O_CREAT, 0o600)  # noqa: PTH118
    fcntl.flock(lock, fcntl.LOCK_EX)  # until this process ends
