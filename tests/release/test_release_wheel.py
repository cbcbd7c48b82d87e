"""One wheel is enough: installed where no checkout is, it brings up a folder and deploys from it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

import remora

ROOT = Path(__file__).parents[2]
BUILT_FROM = ("src", "pyproject.toml", "README.md", "LICENSE")
COMMAND_SECONDS = 600

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that the build leaves nothing in the checkout."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in BUILT_FROM:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
        else:
            shutil.copy(path, source / name)
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(target), str(source)], check=True)
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment with this wheel and our dependencies, but no checkout."""
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, with_pip=False, symlinks=True)
    bin_folder = environment / "bin"
    pip = [sys.executable, "-m", "pip", "--python", str(bin_folder / "python"), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if "remora" not in entry.name and not (packages / entry.name).exists():
            (packages / entry.name).symlink_to(entry)
    return bin_folder


@pytest.fixture
def user(tmp_path: Path) -> dict[str, str]:
    """The environment variables of somebody who has the wheel and nothing else."""
    clean = {
        key: value for key, value in os.environ.items() if not key.startswith(("AZURE_", "REMORA_", "PYTHON"))
    }
    return {**clean, "HOME": str(tmp_path), "REMORA_HOME": str(tmp_path / "remora-home")}


def test_the_wheel_has_every_module_and_file_of_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    package = ROOT / "src" / "remora"
    wanted = {
        f"remora/{path.relative_to(package).as_posix()}"
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted - names == set()
    assert not [
        name for name in names if not name.startswith(("remora/", f"remora-{remora.__version__}.dist-info/"))
    ]


def test_the_wheel_brings_up_a_folder_and_deploys_from_it(
    installed: Path, user: dict[str, str], tmp_path: Path
) -> None:
    project = tmp_path / "tone"
    shutil.copytree(ROOT / "examples" / "tone", project)

    def run(*arguments: str) -> dict[str, Any]:
        command = [str(installed / "remora"), *arguments, "--output", "json"]
        ran = subprocess.run(
            command,
            cwd=tmp_path,
            env=user,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert ran.returncode == 0, (arguments, ran.stdout, ran.stderr)
        document: dict[str, Any] = json.loads(ran.stdout)
        return document

    try:
        up = run("up", str(project), "--yes")
        assert up["endpoint"].startswith("http://127.0.0.1:")
        answer = run("chat", str(project), "--model", "tone", "--message", "I finally got the job I wanted")
        assert "joy" in answer["answer"]
        again = run("deploy", str(project))
        assert again["new_revision"] is False
    finally:
        run("cloud", "stop")
