"""A Python of an app's own: a virtual environment for each text of its commands, so that a restart finds it.

It begins with pip alone. A container of Remora's program sees, after its own packages, those that this very
program runs with. Nothing that pip does in it reaches them.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from containerapps_emulator.apps.replicas.isolation import packages

COMPLETE: Final = ".complete"  # written last
PIP: Final = '#!/bin/sh\nexec "$(dirname "$0")/python" -m pip "$@"\n'
ONE_PIP: Final = Path(__file__).with_name("one_pip.py")


class CannotMake(Exception):
    """The environment could not be made; the message says why."""


def starts_remora(command: Sequence[str]) -> bool:
    """Whether it starts the program of one of Remora's releases on the share."""
    text = " ".join(command)
    return "/.remora/releases/" in text and "start.py" in text


def environment_key(command: Sequence[str]) -> str:
    """The same for the same commands and the same Python."""
    decisive = json.dumps([*command, sys.version, sys.base_prefix, sys.prefix])
    return hashlib.sha256(decisive.encode()).hexdigest()[:16]


class Environments:
    def __init__(self) -> None:
        self._making: dict[Path, asyncio.Lock] = {}

    async def ensure(self, parent: Path, command: Sequence[str], kept: Callable[[], set[str]]) -> Path:
        """The environment of these commands in `parent`, made where there is none.

        Where one is made, those go that are not among `kept`. Raises CannotMake.
        """
        folder = parent / environment_key(command)
        async with self._making.setdefault(folder, asyncio.Lock()):
            if not (folder / COMPLETE).exists():
                await asyncio.to_thread(_remove_all_but, parent, {folder.name, *kept()})
                await asyncio.to_thread(_make, folder, with_packages=starts_remora(command))
        return folder


def _make(folder: Path, *, with_packages: bool) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    made = subprocess.run(
        [sys.executable, "-I", "-m", "venv", "--without-pip", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise CannotMake(f"no Python environment can be made in {folder}: {made.stderr.strip()}")
    found = sysconfig.get_path("purelib", "venv", {"base": str(folder), "platbase": str(folder)})
    site = Path(found)
    (site / ONE_PIP.name).write_bytes(ONE_PIP.read_bytes())
    (site / "one_pip.pth").write_text(f"import {ONE_PIP.stem}\n")
    # After what is installed into it, so that it can have another pip, or another version of a package.
    (site / "zz_given.pth").write_text(_lines((*pip_wheels(), *(packages() if with_packages else ()))))
    for name in ("pip", "pip3", f"pip{sys.version_info[0]}.{sys.version_info[1]}"):
        script = folder / "bin" / name
        script.write_text(PIP)
        script.chmod(0o755)
    (folder / COMPLETE).touch()


def pip_wheels() -> list[Path]:
    """The wheel of pip that Python carries: it runs from there, and installing it would take seconds."""
    own = sysconfig.get_config_var("WHEEL_PKG_DIR")  # where a distribution has moved it
    carried = importlib.util.find_spec("ensurepip")  # which some distributions leave out
    folders = [
        *([Path(own)] if own else []),
        *([Path(carried.origin).parent / "_bundled"] if carried and carried.origin else []),
    ]
    return [wheel for folder in folders for wheel in sorted(folder.glob("pip-*.whl"))][:1]


def _remove_all_but(parent: Path, kept: Iterable[str]) -> None:
    for folder in parent.glob("*"):
        if folder.name not in kept:
            shutil.rmtree(folder, ignore_errors=True)


def _lines(paths: Iterable[Path]) -> str:
    return "".join(f"{path}\n" for path in paths)
