"""From the C++ of this folder to a library in this process. Owns the compiler's command and the cache.

What was made is kept under the user's cache, named by sources, compiler and level of instructions: a machine
compiles once, in some six seconds. Where there is no compiler there is no library: the engine does without.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import torch

from remora.engine.loading import PROGRESS
from remora.engine.torch.native.levels import Level, instructions, level_here
from remora.engine.torch.native.structs import STRUCTS

SOURCES = ("layer.cpp", "codes.h", "matrix.h", "threads.h", "tiles.h", "vectors.h")
COMPILERS = ("c++", "g++", "clang++")
FLAGS = ("-std=c++17", "-O3", "-fno-math-errno", "-fPIC", "-fopenmp", "-Wall", "-Wextra")
COMPILE_SECONDS = 120

logger = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def native_library() -> ctypes.CDLL | None:
    """The library for this machine, compiled if need be; None where that fails, and the log says why.

    Raises InvalidInput where the variable for the level names none.
    """
    level = level_here()
    compiler = next(filter(None, map(shutil.which, (os.environ.get("CXX", ""), *COMPILERS))), None)
    if compiler is None:
        PROGRESS.info("no C++ compiler here: layers run without native code")
        return None
    try:
        return loaded(_cached(compiler, level))
    except (OSError, subprocess.SubprocessError) as error:
        logger.warning("layers run without native code: %s", error)
        return None


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
        # Without -fopenmp, so that it finds the threads that torch has, and not a second runtime's.
        [compiler, "-shared", str(made), "-o", str(library)],
    ):
        subprocess.run(command, check=True, capture_output=True, timeout=COMPILE_SECONDS)
    return library


def loaded(path: Path) -> ctypes.CDLL:
    """Raises OSError for what is no library, and for one whose structs are of other sizes than ours."""
    library = ctypes.CDLL(str(path))
    sizes = (ctypes.c_int64 * len(STRUCTS))()
    library.remora_sizes(sizes)
    for struct, size in zip(STRUCTS, sizes, strict=True):
        if ctypes.sizeof(struct) != size:
            raise OSError(f"{struct.__name__} has {size} bytes in {path} and {ctypes.sizeof(struct)} here")
    return library


def _cached(compiler: str, level: Level) -> Path:
    folder = _cache_folder()
    library = folder / f"layer-{level.name.lower()}-{_key(compiler, level)}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=folder) as work:
            compile_library(compiler, Path(work), level).replace(library)
    return library


def _sources() -> Iterator[tuple[str, bytes]]:
    package = files("remora.engine.torch.native")
    return ((name, package.joinpath(name).read_bytes()) for name in SOURCES)


def _flags(level: Level) -> list[str]:
    return [*FLAGS, *(f"-m{name.replace('_', '-')}" for name in instructions(level))]


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "remora" / "native"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = folder.stat()
    if state.st_uid != os.getuid() or state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OSError(f"{folder} is not this user's alone, and code from it would run here")
    return folder


def _key(compiler: str, level: Level) -> str:
    version = subprocess.run(
        [compiler, "--version"], check=True, capture_output=True, timeout=COMPILE_SECONDS
    )
    parts = [version.stdout, " ".join(_flags(level)).encode(), torch.__version__.encode()]
    parts += [text for _, text in _sources()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
