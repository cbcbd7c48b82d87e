"""The code that a replica runs: this installed package as one archive, with the versions of its requirements.

The container runs the same code as this machine; the same sources give the same bytes. Uploads nothing.
"""

from __future__ import annotations

import io
import zipfile
from importlib.metadata import requires, version
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath

import remora

_PACKAGES = ("project", "adapters", "engine", "server")
_EPOCH = (1980, 1, 1, 0, 0, 0)
_SKIPPED_SUFFIXES = frozenset({".pyc"})


def code_archive() -> bytes:
    """A zip of the packages that the endpoint needs; importable directly from sys.path."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(_sources().items()):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def requirements() -> bytes:
    """`name==version` of every requirement of `remora[serve]`, as installed here."""
    names = sorted(_requirement_names())
    return "".join(f"{name}=={version(name).partition('+')[0]}\n" for name in names).encode()


def start_script() -> bytes:
    """The container's first program."""
    return files("remora.rollout.replica").joinpath("start.py").read_bytes()


def _sources() -> dict[str, bytes]:
    root = files(remora)
    found = {
        f"remora/{entry.name}": entry.read_bytes()
        for entry in root.iterdir()
        if entry.is_file() and entry.name.endswith((".py", ".typed"))
    }
    for package in _PACKAGES:
        found |= _tree(root.joinpath(package), PurePosixPath("remora", package))
    return found


def _tree(folder: Traversable, at: PurePosixPath) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for entry in folder.iterdir():
        if entry.is_dir():
            found |= _tree(entry, at / entry.name)
        elif PurePosixPath(entry.name).suffix not in _SKIPPED_SUFFIXES:
            found[str(at / entry.name)] = entry.read_bytes()
    return found


def _requirement_names() -> set[str]:
    """The names, without versions, of the base requirements and those of the serve extra."""
    names = set()
    for line in requires("remora") or ():
        requirement, _, marker = line.partition(";")
        if not marker or "serve" in marker:
            names.add(requirement.split(">", 1)[0].split("=", 1)[0].split("[", 1)[0].strip())
    return names
