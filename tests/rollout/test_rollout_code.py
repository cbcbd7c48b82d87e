"""The code that travels with a release really starts on its own."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from remora.engine.torch.native.compiler import installed_compiler, library_name
from remora.engine.torch.native.levels import level_here
from remora.rollout.share.code import code_archive, requirements, start_script


def test_the_archive_is_the_same_every_time() -> None:
    assert code_archive() == code_archive()


def test_the_archive_holds_what_the_endpoint_needs_and_no_more() -> None:
    names = zipfile.ZipFile(io.BytesIO(code_archive())).namelist()
    assert "remora/errors.py" in names
    assert "remora/server/app.py" in names
    assert {name.partition("/")[0] for name in names} == {"remora"}  # and not the emulator
    elsewhere = ("remora/cli", "remora/azure", "remora/rollout")
    assert not [name for name in names if name.startswith(elsewhere)]
    assert not [name for name in names if name.endswith(".pyc")]


def test_requirements_are_pinned_and_complete() -> None:
    lines = requirements().decode().split()
    assert all("==" in line for line in lines)
    assert {"torch", "transformers", "gradio", "pydantic"} <= {line.partition("==")[0] for line in lines}
    assert "azure-identity" not in requirements().decode()
    assert "+" not in requirements().decode()


def write_release(tmp_path: Path, required: str) -> Path:
    """A share with one release, whose code says how it was started instead of serving."""
    release = tmp_path / ".remora" / "releases" / "abc"
    release.mkdir(parents=True)
    (release / "start.py").write_bytes(start_script())
    (release / "requirements.txt").write_text(required)
    with zipfile.ZipFile(release / "code.zip", "w") as archive:
        archive.writestr("remora/__init__.py", "")
        archive.writestr("remora/server/__init__.py", "")
        archive.writestr("remora/server/__main__.py", "import sys; print(sys.argv[1:])")
    return release / "start.py"


def run(start: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if key != "PORT"}
    return subprocess.run(
        [sys.executable, "-S", str(start)],
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )


def test_the_start_script_becomes_the_endpoint_of_its_release(tmp_path: Path) -> None:
    start = write_release(tmp_path, "")
    done = run(start, PORT="1234", REMORA_HOST="127.0.0.1")
    expected = [str(tmp_path), "--release", "abc", "--host", "127.0.0.1", "--port", "1234"]
    assert done.stdout.strip() == str(expected)


def test_in_a_container_it_listens_for_the_ingress(tmp_path: Path) -> None:
    done = run(write_release(tmp_path, ""))
    assert "'0.0.0.0', '--port', '7860'" in done.stdout


def test_a_requirement_that_cannot_be_installed_stops_the_start(tmp_path: Path) -> None:
    start = write_release(tmp_path, "remora-no-such-package==1.0")
    done = run(start, PIP_NO_INDEX="1")
    assert done.returncode != 0
    assert "not started" in done.stderr
    assert done.stdout == "" or "--release" not in done.stdout


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of a process that ran the archive without a built-in library."""
    if installed_compiler() is None:
        pytest.skip("there is no C++ compiler here")
    folder = tmp_path_factory.mktemp("compiled")
    done = native_code(folder, {}, os.environ["PATH"])
    assert "CDLL" in done.stdout, done.stdout + done.stderr
    assert "compiled here" in done.stderr
    return folder / "cache" / "remora" / "native"


def test_native_layers_are_compiled_from_the_archive(compiled: Path) -> None:
    """A replica runs the package from a zip: its C++ sources are no files there."""
    assert len(list(compiled.iterdir())) == 1
    assert compiled.stat().st_mode & 0o077 == 0


def test_a_library_in_the_archive_needs_no_compiler(compiled: Path, tmp_path: Path) -> None:
    (library,) = compiled.iterdir()
    done = native_code(tmp_path, {library_name(level_here()): library.read_bytes()}, "")
    assert "CDLL" in done.stdout, done.stdout + done.stderr
    assert "built in" in done.stderr
    cache = tmp_path / "cache" / "remora" / "native"
    assert [made.read_bytes() for made in cache.iterdir()] == [library.read_bytes()]
    assert cache.stat().st_mode & 0o077 == 0


def test_a_library_of_other_sources_is_not_used(compiled: Path, tmp_path: Path) -> None:
    (library,) = compiled.iterdir()
    stale = re.sub(r"-\w{16}\.so", f"-{'0' * 16}.so", library_name(level_here()))
    done = native_code(tmp_path, {stale: library.read_bytes()}, "")
    assert "None" in done.stdout, done.stdout + done.stderr
    assert "no C++ compiler here: layers run without native code" in done.stderr


def native_code(folder: Path, libraries: dict[str, bytes], path: str) -> subprocess.CompletedProcess[str]:
    """A process with the archive, these libraries in it and the programs of `path` asks for native code."""
    archive = folder / "code.zip"
    with zipfile.ZipFile(io.BytesIO(code_archive())) as sent, zipfile.ZipFile(archive, "w") as changed:
        for name in sent.namelist():
            if not name.endswith(".so"):
                changed.writestr(name, sent.read(name))
        for name, code in libraries.items():
            changed.writestr(f"remora/engine/torch/native/{name}", code)
    script = (
        "import logging; logging.basicConfig(level='INFO');"
        "from remora.engine.torch.native import build; print(build.__file__, build.native_library())"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env={
            **os.environ,
            "PATH": path,
            "PYTHONPATH": str(archive),
            "XDG_CACHE_HOME": str(folder / "cache"),
        },
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    assert str(archive) in done.stdout
    return done
