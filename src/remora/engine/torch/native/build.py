"""From native code to a library in this process: built into the package, or compiled here. Owns the cache.

What was compiled is kept under the user's cache, named by sources, compiler and level of instructions: a
machine compiles once, in some six seconds. Without both there is no library, and the engine does without.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import stat
import subprocess
import tempfile
from collections.abc import Callable
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import torch

from remora.engine.loading import PROGRESS
from remora.engine.torch.native.compiler import (
    COMPILE_SECONDS,
    PACKAGE,
    compile_library,
    installed_compiler,
    library_name,
)
from remora.engine.torch.native.levels import Level, level_here
from remora.engine.torch.native.structs import STRUCTS
from remora.errors import disk_error

logger = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def native_library() -> ctypes.CDLL | None:
    """The library of this machine's level: the built-in one, else one that is compiled here, else None.

    The log says which, or why there is none. Raises InvalidInput where the variable for the level names no
    level.
    """
    level = level_here()
    return _tried(_built_in, level, "built in") or _tried(_compiled, level, "compiled here")


def loaded(path: Path) -> ctypes.CDLL:
    """Raises OSError for what is no library, and for one whose structs are of other sizes than ours."""
    library = ctypes.CDLL(str(path))
    sizes = (ctypes.c_int64 * len(STRUCTS))()
    library.remora_sizes(sizes)
    for struct, size in zip(STRUCTS, sizes, strict=True):
        if ctypes.sizeof(struct) != size:
            raise OSError(f"{struct.__name__} has {size} bytes in {path} and {ctypes.sizeof(struct)} here")
    return library


def _tried(find: Callable[[Level], Path | None], level: Level, origin: str) -> ctypes.CDLL | None:
    try:
        path = find(level)
        library = None if path is None else loaded(path)
    except (OSError, subprocess.SubprocessError) as error:
        logger.warning("native code that is %s cannot be used: %s", origin, disk_error(error) or error)
        return None
    if library is not None:
        PROGRESS.info("native code for %s is %s", level.name.lower(), origin)
    return library


def _built_in(level: Level) -> Path | None:
    """The package's own library; None where it has none of these sources."""
    name = library_name(level)
    library = files(PACKAGE).joinpath(name)
    if not library.is_file():
        return None
    if isinstance(library, Path):
        return library
    code = library.read_bytes()  # in a zip, from which nothing is loaded

    def write(work: Path) -> Path:
        (work / name).write_bytes(code)
        return work / name

    return _cached(f"{Path(name).stem}-{hashlib.sha256(code).hexdigest()[:16]}.so", write)


def _compiled(level: Level) -> Path | None:
    compiler = installed_compiler()
    if compiler is None:
        PROGRESS.info("no C++ compiler here: layers run without native code")
        return None
    name = f"{Path(library_name(level)).stem}-{_version_key(compiler)}.so"
    return _cached(name, lambda work: compile_library(compiler, work, level))


def _cached(name: str, make: Callable[[Path], Path]) -> Path:
    """The file of this name in the cache; where it is missing, `make` makes it in a folder that then goes."""
    folder = _cache_folder()
    library = folder / name
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=folder) as work:
            make(Path(work)).replace(library)
    return library


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "remora" / "native"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = folder.stat()
    if state.st_uid != os.getuid() or state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise OSError(f"{folder} is not this user's alone, and code from it would run here")
    return folder


def _version_key(compiler: str) -> str:
    version = subprocess.run(
        [compiler, "--version"], check=True, capture_output=True, timeout=COMPILE_SECONDS
    )
    return hashlib.sha256(version.stdout + torch.__version__.encode()).hexdigest()[:16]
