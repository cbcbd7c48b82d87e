"""From the C++ of this folder to a library in this process. Owns the compiler's command and the cache.

What was made is kept under the user's cache, named by sources, compiler and processor: a machine compiles
once, in about three seconds. Where there is no compiler there is no library, and the engine does without.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import stat
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

import torch

SOURCES = ("layer.cpp", "matrix.h", "tiles.h", "vectors.h")
COMPILERS = ("c++", "g++", "clang++")
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fno-math-errno", "-fPIC", "-fopenmp", "-w")
COMPILE_SECONDS = 120

logger = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def native_library() -> ctypes.CDLL | None:
    """The library for this machine, compiled if need be; None where that fails, and the log says why."""
    compiler = next(filter(None, map(shutil.which, (os.environ.get("CXX", ""), *COMPILERS))), None)
    if compiler is None:
        logger.info("no C++ compiler here: layers run without native code")
        return None
    try:
        path = _cached(compiler)
        return ctypes.CDLL(str(path))
    except (OSError, subprocess.SubprocessError) as error:
        logger.warning("layers run without native code: %s", error)
        return None


def _cached(compiler: str) -> Path:
    folder = _cache_folder()
    library = folder / f"layer-{_key(compiler)}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=folder) as work:
            _compile(compiler, Path(work)).replace(library)
    return library


def _compile(compiler: str, work: Path) -> Path:
    source = Path(__file__).with_name(SOURCES[0])
    made, library = work / "layer.o", work / "layer.so"
    for command in (
        [compiler, *FLAGS, "-c", str(source), "-o", str(made)],
        # Without -fopenmp, so that it finds the threads that torch has, and not a second runtime's.
        [compiler, "-shared", str(made), "-o", str(library)],
    ):
        subprocess.run(command, check=True, capture_output=True, timeout=COMPILE_SECONDS)
    return library


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "remora" / "native"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = folder.stat()
    if state.st_uid != os.getuid() or state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OSError(f"{folder} is not this user's alone, and code from it would run here")
    return folder


def _key(compiler: str) -> str:
    version = subprocess.run(
        [compiler, "--version"], check=True, capture_output=True, timeout=COMPILE_SECONDS
    )
    parts = [version.stdout, " ".join(FLAGS).encode(), torch.__version__.encode(), _processor().encode()]
    parts += [Path(__file__).with_name(name).read_bytes() for name in SOURCES]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _processor() -> str:
    """What -march=native looks at."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = ("vendor_id", "model name", "flags", "Features")
    return "\n".join(sorted({line for line in lines if line.startswith(names)}))
