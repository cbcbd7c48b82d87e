"""Builds native layers into the package, where they can be compiled. All else is in pyproject.toml.

They are loaded by ctypes, so a wheel with them is for every Python, on Linux with an x86-64 processor.
"""

import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

sys.path.insert(0, str(Path(__file__).parent / "src"))
from remora.engine.torch.native.compiler import PACKAGE, compile_library, installed_compiler, library_name
from remora.engine.torch.native.levels import Level

LEVELS = (Level.AVX2, Level.AVX512, Level.AMX)  # no plain C++: `native = "auto"` takes none
BUILT = "layer-*.so"
OLDEST_GLIBC = 17  # of manylinux: any glibc that a Python for this package runs with


class BuildPy(build_py):
    """Into the sources themselves for an editable install."""

    def run(self) -> None:
        super().run()
        built = Path(self.build_lib, *PACKAGE.split("."))
        build_libraries(Path(self.get_package_dir(PACKAGE)) if self.editable_mode else built)


class BdistWheel(bdist_wheel):
    def get_tag(self) -> tuple[str, str, str]:
        libraries = self._libraries()
        if not libraries:
            return super().get_tag()
        return "py3", "none", self.plat_name if self.plat_name_supplied else wheel_platform(libraries)

    def write_wheelfile(self, wheelfile_base: str) -> None:
        self.root_is_pure = not self._libraries()
        super().write_wheelfile(wheelfile_base)

    def _libraries(self) -> list[Path]:
        return sorted(Path(self.bdist_dir).rglob(BUILT))


def build_libraries(folder: Path) -> None:
    """A library for each level in the package's folder, none of old sources. Says what is left out."""
    names = {library_name(level): level for level in LEVELS}
    for stale in {*folder.glob(BUILT)} - {folder / name for name in names}:
        stale.unlink()
    compiler = installed_compiler()
    if (sys.platform, platform.machine()) != ("linux", "x86_64") or compiler is None:
        print("no native layers are built: that needs Linux on x86-64 and a C++ compiler")
        return
    for name, level in names.items():
        try:
            if not (folder / name).exists():
                build_library(compiler, level, folder / name)
        except (OSError, subprocess.SubprocessError) as error:
            print(f"no native layers are built for {level.name.lower()}: {error}")


def build_library(compiler: str, level: Level, target: Path) -> None:
    with tempfile.TemporaryDirectory() as work:
        library = compile_library(compiler, Path(work), level)
        if b"GOMP_parallel" not in library.read_bytes():
            raise OSError(f"{compiler} does not use the threads of GCC's OpenMP, which torch has")
        shutil.copyfile(library, target)


def wheel_platform(libraries: Iterable[Path]) -> str:
    """`manylinux_2_N_x86_64` of the oldest glibc that has what they need; `linux_x86_64` if none has."""
    versions = re.compile(rb"\0((?:GLIBC|CXXABI|GCC)\w*_[\w.]+)(?=\0)")
    needed = {version for path in libraries for version in versions.findall(path.read_bytes())}
    minors = [re.fullmatch(rb"GLIBC_2\.(\d+)(?:\.\d+)?", version) for version in needed - {b"CXXABI_1.3"}]
    if not minors or None in minors:
        print("native layers need what manylinux has not:", needed)
        return "linux_x86_64"
    return f"manylinux_2_{max(OLDEST_GLIBC, *(int(found[1]) for found in minors if found))}_x86_64"


setup(cmdclass={"build_py": BuildPy, "bdist_wheel": BdistWheel})
