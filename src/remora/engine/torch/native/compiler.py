"""The compiler's command, and the name of a library that is built into the package. Imports no torch.

`setup.py` builds libraries with it where nothing of this package's requirements is installed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from remora.engine.torch.native.levels import Level, instructions

PACKAGE = "remora.engine.torch.native"
SOURCES = ("layer.cpp", "codes.h", "matrix.h", "threads.h", "tiles.h", "vectors.h")
COMPILERS = ("c++", "g++", "clang++")
FLAGS = ("-std=c++17", "-O3", "-fno-math-errno", "-fPIC", "-fopenmp", "-Wall", "-Wextra")
# Without -fopenmp, so that a library finds the threads that torch has, and not a second runtime's.
LINK_FLAGS = ("-shared", "-s")
COMPILE_SECONDS = 120


def installed_compiler() -> str | None:
    """The path of the C++ compiler that `CXX` names, or of the first of COMPILERS; None if none is there."""
    return next(filter(None, map(shutil.which, (os.environ.get("CXX", ""), *COMPILERS))), None)


def compile_library(compiler: str, work: Path, level: Level, *more_flags: str) -> Path:
    """A library in a folder of its own. Raises OSError or SubprocessError.

    The sources are resources: in a container this package is in a zip, which no compiler reads.
    """
    for name, text in _sources():
        (work / name).write_bytes(text)
    source = work / SOURCES[0]
    made, library = work / "layer.o", work / "layer.so"
    for command in (
        [compiler, *_flags(level), *more_flags, "-c", str(source), "-o", str(made)],
        [compiler, *LINK_FLAGS, str(made), "-o", str(library)],
    ):
        subprocess.run(command, check=True, capture_output=True, timeout=COMPILE_SECONDS)
    return library


def library_name(level: Level) -> str:
    """The file name of a built library. It changes with each source and flag, so no other library has it."""
    parts = [" ".join([*_flags(level), *LINK_FLAGS]).encode(), *(text for _, text in _sources())]
    key = hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
    return f"layer-{level.name.lower()}-{key}.so"


def _sources() -> Iterator[tuple[str, bytes]]:
    package = files(PACKAGE)
    return ((name, package.joinpath(name).read_bytes()) for name in SOURCES)


def _flags(level: Level) -> list[str]:
    return [*FLAGS, *(f"-m{name.replace('_', '-')}" for name in instructions(level))]
