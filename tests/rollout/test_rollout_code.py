"""The code that travels with a release really starts on its own."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from remora.rollout.share.code import code_archive, requirements, start_script


def test_the_archive_is_the_same_every_time() -> None:
    assert code_archive() == code_archive()


def test_the_archive_holds_what_the_endpoint_needs_and_no_more() -> None:
    names = zipfile.ZipFile(io.BytesIO(code_archive())).namelist()
    assert "remora/errors.py" in names
    assert "remora/server/app.py" in names
    elsewhere = ("remora/localcloud", "remora/cli", "remora/azure", "remora/rollout")
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


def test_native_layers_are_compiled_from_the_archive(tmp_path: Path) -> None:
    """A replica runs the package from a zip: its C++ sources are no files there."""
    archive = tmp_path / "code.zip"
    archive.write_bytes(code_archive())
    script = "from remora.engine.torch.native import build; print(build.__file__, build.native_library())"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env={**os.environ, "PYTHONPATH": str(archive), "XDG_CACHE_HOME": str(tmp_path / "cache")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    assert str(archive) in done.stdout
    assert ("CDLL" in done.stdout) is (shutil.which("c++") is not None), done.stdout + done.stderr
