"""Wheels are enough: installed where no checkout is, they bring up a folder and deploy from it.

The emulator's alone, without Remora, starts by its console script, answers ARM and stops.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import httpx
import pytest

import remora
from containerapps_emulator import __version__ as emulator_version
from remora.engine.torch.native.compiler import installed_compiler, library_name
from remora.engine.torch.native.levels import Level, level_here

ROOT = Path(__file__).parents[2]
EMULATOR = ROOT / "packages" / "containerapps-emulator"
BUILT_FROM = ("src", "pyproject.toml", "setup.py", "README.md", "LICENSE")
NOT_COPIED = ("*.egg-info", "__pycache__", "*.so")
NEWEST_GLIBC = 28  # what the wheels of torch need
COMMAND_SECONDS = 600

BUILT_LEVELS = set(Level) - {Level.SCALAR}
needs_native = pytest.mark.skipif(
    installed_compiler() is None or level_here() not in BUILT_LEVELS,
    reason="native layers are built with a C++ compiler and run with AVX2",
)

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, so that the build leaves nothing in the checkout, without what was built there."""
    source = tmp_path_factory.mktemp("source")
    for name in BUILT_FROM:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns(*NOT_COPIED))
        else:
            shutil.copy(path, source / name)
    return source


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_wheel(source, tmp_path_factory.mktemp("wheel"), os.environ["PATH"])


@pytest.fixture(scope="module")
def plain_wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a source distribution, where there is no compiler."""
    target = tmp_path_factory.mktemp("sdist")
    script = f"from setuptools import build_meta; print(build_meta.build_sdist({str(target)!r}))"
    subprocess.run([sys.executable, "-c", script], cwd=source, check=True, capture_output=True)
    (archive,) = target.glob("*.tar.gz")
    return built_wheel(archive, target, "")


def built_wheel(source: Path, target: Path, path: str, *options: str) -> Path:
    """What pip builds with the programs of `path`."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    environment = {key: value for key, value in os.environ.items() if key != "CXX"} | {"PATH": path}
    subprocess.run([*pip, *options, "--wheel-dir", str(target), str(source)], check=True, env=environment)
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def emulator_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a source distribution."""
    target = tmp_path_factory.mktemp("emulator")
    source = target / "source"
    shutil.copytree(EMULATOR, source, ignore=shutil.ignore_patterns(*NOT_COPIED, "build"))
    script = f"from setuptools import build_meta; print(build_meta.build_sdist({str(target)!r}))"
    subprocess.run([sys.executable, "-c", script], cwd=source, check=True, capture_output=True)
    (archive,) = target.glob("*.tar.gz")
    return built_wheel(archive, target, os.environ["PATH"])


@pytest.fixture(scope="module")
def installed(wheel: Path, emulator_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment_with(tmp_path_factory.mktemp("environment"), wheel, emulator_wheel)


@pytest.fixture(scope="module")
def emulator_alone(emulator_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment_with(tmp_path_factory.mktemp("alone"), emulator_wheel)


def environment_with(environment: Path, *wheels: Path) -> Path:
    """The `bin` folder of an environment with these wheels and our dependencies, but no checkout."""
    venv.create(environment, with_pip=False, symlinks=True)
    bin_folder = environment / "bin"
    pip = [sys.executable, "-m", "pip", "--python", str(bin_folder / "python"), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", *map(str, wheels)], check=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        is_ours = any(name in entry.name for name in ("remora", "containerapps_emulator"))
        if not is_ours and not (packages / entry.name).exists():
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
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".so"
    }
    assert wanted - names == set()
    assert not [
        name for name in names if not name.startswith(("remora/", f"remora-{remora.__version__}.dist-info/"))
    ]


def test_the_emulators_wheel_has_every_module_and_file_and_the_license(emulator_wheel: Path) -> None:
    with zipfile.ZipFile(emulator_wheel) as archive:
        names = set(archive.namelist())
    source = EMULATOR / "src"
    wanted = {
        path.relative_to(source).as_posix()
        for path in (source / "containerapps_emulator").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted - names == set()
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert (EMULATOR / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_remora_asks_for_the_version_of_the_emulator_that_is_here() -> None:
    assert f'"containerapps-emulator~={emulator_version}"' in (ROOT / "pyproject.toml").read_text("utf-8")


def test_the_emulator_alone_starts_answers_and_stops(emulator_alone: Path, user: dict[str, str]) -> None:
    script = emulator_alone / "containerapps-emulator"
    remora_there = subprocess.run(
        [emulator_alone / "python", "-c", "import remora"], env=user, check=False, capture_output=True
    )
    assert remora_there.returncode == 1

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [script, *words], env=user, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
        )

    asked_before = run("status")
    assert (asked_before.returncode, asked_before.stdout) == (7, "")
    assert "start it with: containerapps-emulator" in asked_before.stderr
    with subprocess.Popen([script], env=user, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert "The local cloud is ready" in process.stderr.readline()
            exports = dict(
                line.removeprefix("export ").split("=", 1) for line in run("env").stdout.split("\n")[:-1]
            )
            answer = httpx.get(
                f"{exports['CONTAINERAPPS_EMULATOR_ARM_URL']}/subscriptions?api-version=2022-12-01",
                headers={"Authorization": f"Bearer {exports['CONTAINERAPPS_EMULATOR_TOKEN']}"},
                timeout=COMMAND_SECONDS,
            )
            (subscription,) = answer.json()["value"]
            assert subscription["subscriptionId"] == exports["AZURE_SUBSCRIPTION_ID"]
            second = run()
            assert second.returncode == 9
            assert "containerapps-emulator status" in second.stderr
            assert "The local cloud runs at" in run("status").stdout
            assert run("stop").returncode == 0
            assert process.wait(COMMAND_SECONDS) == 0
        finally:
            process.kill()
    assert (Path(user["HOME"]) / ".containerapps-emulator" / "cloud" / "state.sqlite3").is_file()
    aside = Path(run("reset").stdout.strip())
    assert (aside / "state.sqlite3").is_file()


@needs_native
def test_the_wheel_has_a_library_for_each_level_and_says_where_they_run(wheel: Path) -> None:
    assert libraries_of(wheel) == {library_name(level) for level in Level if level in BUILT_LEVELS}
    tag = re.fullmatch(r"remora-.*-py3-none-manylinux_2_(\d+)_x86_64", wheel.stem)
    assert tag, wheel.name
    assert int(tag[1]) <= NEWEST_GLIBC


@needs_native
def test_a_wheel_for_other_systems_has_the_libraries_that_it_deploys(
    source: Path, wheel: Path, tmp_path: Path
) -> None:
    option = "--config-settings=--build-option=--plat-name=any"  # as in `make wheel-any`
    other = built_wheel(source, tmp_path, os.environ["PATH"], option)
    assert other.stem.endswith("-py3-none-any")
    assert libraries_of(other) == libraries_of(wheel)


@needs_native
def test_an_installed_wheel_computes_natively_without_a_compiler(
    installed: Path, user: dict[str, str]
) -> None:
    document, log = asked_native(installed / "python", user)
    assert document["package"].startswith(str(installed.parent))
    assert document["stack"].endswith("native layers"), log
    assert document["equal"]
    assert f"native code for {level_here().name.lower()} is built in" in log


def test_without_a_compiler_the_wheel_is_plain_and_the_modules_answer(
    plain_wheel: Path, user: dict[str, str], tmp_path: Path
) -> None:
    assert plain_wheel.stem.endswith("-py3-none-any")
    assert libraries_of(plain_wheel) == set()
    shutil.unpack_archive(plain_wheel, tmp_path / "unpacked", "zip")
    document, log = asked_native(Path(sys.executable), user | {"PYTHONPATH": str(tmp_path / "unpacked")})
    assert document["package"].startswith(str(tmp_path / "unpacked"))
    assert document["stack"].startswith("torch")
    assert "native" not in document["stack"]
    assert document["equal"]
    assert "no C++ compiler here: layers run without native code" in log


def test_the_wheel_brings_up_a_folder_and_deploys_from_it(
    installed: Path, wheel: Path, user: dict[str, str], tmp_path: Path
) -> None:
    project = tmp_path / "tone"
    shutil.copytree(ROOT / "examples" / "tone", project)
    with (project / "remora.toml").open("a") as settings:
        settings.write('\n[serve]\nnative = "always"\n')

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
        if libraries_of(wheel) and level_here() in BUILT_LEVELS:
            log = run("logs", str(project), "--grep", "native code for")
            assert log["text"].endswith("is built in")  # in the container, whose code is in a zip
        again = run("deploy", str(project))
        assert again["new_revision"] is False
    finally:
        run("cloud", "stop")


def libraries_of(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {PurePosixPath(name).name for name in archive.namelist() if name.endswith(".so")}


def asked_native(python: Path, environment: dict[str, str]) -> tuple[dict[str, Any], str]:
    """What `ask_native.py` prints and logs where there is no compiler."""
    ran = subprocess.run(
        [python, Path(__file__).with_name("ask_native.py"), ROOT / "examples" / "tone" / "base"],
        env=environment | {"PATH": "", "CXX": ""},
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    document: dict[str, Any] = json.loads(ran.stdout)
    return document, ran.stderr
