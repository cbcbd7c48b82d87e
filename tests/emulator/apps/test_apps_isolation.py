"""What a container cannot write to: Remora's packages, the user's HOME, the checkout, the machine's /tmp."""

from __future__ import annotations

import hashlib
import json
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.emulator.apps.cloud import WEB, Cloud, until
from tests.project.stock_layout import STOCK_COMMANDS
from tests.rollout.wheels import package_index, write_wheel

from containerapps_emulator.apps.replicas.isolation import Kernel
from containerapps_emulator.apps.replicas.one_pip import runs_pip

MUST_ISOLATE = sys.platform == "linux"
CHECKOUT = Path(__file__).parents[3]
PACKAGES = Path(sysconfig.get_path("purelib"))
PROGRAM = f"""
import json, os, sys
import torch, transformers, gradio
versions = {{module.__name__: module.VERSION for module in (torch, transformers, gradio)}}
print(json.dumps({{"versions": versions, "prefix": sys.prefix, "path": sys.path}}), flush=True)
os.execv(sys.executable, [sys.executable, {str(WEB)!r}])
"""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The packages of AI Toolkit's commands, each a tiny module."""
    wheels = tmp_path_factory.mktemp("wheels")
    for requirement in STOCK_COMMANDS[1].split()[2:]:
        name, _, version = requirement.partition("==")
        write_wheel(wheels, name.replace("-", "_"), version)
    with package_index(wheels) as url:
        yield url


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A HOME of the user's, with something in it."""
    home = tmp_path / "home"
    (home / ".cache" / "pip").mkdir(parents=True)
    (home / "notes.txt").write_text("mine")
    monkeypatch.setenv("HOME", str(home))
    return home


def fingerprint(folder: Path) -> str:
    """Of every path below, its kind, size and time of change; and of what is small, the bytes."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if "__pycache__" in path.parts or path.is_symlink():
            continue  # this very test compiles what it imports
        stat = path.lstat()
        digest.update(f"{path} {stat.st_mode} {stat.st_mtime_ns if path.is_file() else ''}\n".encode())
        if path.is_file() and stat.st_size < 64 * 1024:
            digest.update(path.read_bytes())
    return digest.hexdigest()


def everything(home: Path) -> dict[str, str]:
    return {str(folder): fingerprint(folder) for folder in (PACKAGES, home, CHECKOUT / "src")}


async def stock(cloud: Cloud, index: str, *more: str) -> None:
    """An app that runs AI Toolkit's commands, as its template joins them."""
    share = cloud.folder / "shares/account/data"
    (share / "inference").mkdir(exist_ok=True)
    (share / "inference" / "gradio_chat.py").write_text(PROGRAM)
    mount = str(cloud.folder / "mount")
    commands = [command.replace("/mount", mount) for command in STOCK_COMMANDS]
    script = "; ".join([*commands[:-1], *more, commands[-1]])
    await cloud.deploy(mount=mount, env={"PIP_INDEX_URL": index}, command=["/bin/bash", "-c", script])


@pytest.mark.parametrize("namespaces", [True, False])
async def test_the_stock_commands_change_nothing_of_ours(
    make_cloud: Callable[..., Cloud], index: str, home: Path, *, namespaces: bool
) -> None:
    cloud = make_cloud(namespaces=namespaces)
    await cloud.provision()
    before = everything(home)
    await stock(cloud, index)
    await cloud.until_ready()
    assert everything(home) == before
    printed = cloud.console(cloud.latest)
    (told,) = (json.loads(line.split(" ", 1)[1]) for line in printed.splitlines() if '"versions"' in line)
    assert told["versions"] == {"torch": "2.4.0", "transformers": "4.43.4", "gradio": "4.43.0"}
    assert str(PACKAGES) not in told["path"]
    assert Path(told["prefix"]).is_relative_to(cloud.folder / "apps" / "group" / "web")
    assert ("NotIsolated" in cloud.events()) is not namespaces


async def test_the_environment_of_a_container_is_its_own(cloud: Cloud, home: Path) -> None:
    await cloud.deploy()
    await cloud.until_ready()
    seen = await cloud.get("/env")
    own = cloud.folder / "apps" / "group" / "web"
    assert Path(seen["HOME"]) == own / "home"
    assert seen["PATH"].startswith(str(own / "environments"))
    assert str(Path(sys.executable).parent) not in seen["PATH"].split(":")
    assert not [folder for folder in seen["PATH"].split(":") if folder.startswith(str(home))]
    assert "PYTHONPATH" not in seen


async def test_commands_reach_nothing_but_what_a_container_has(
    cloud: Cloud, home: Path, tmp_path: Path
) -> None:
    if not MUST_ISOLATE:
        pytest.skip("only Linux has mount namespaces")
    precious = tmp_path / "precious"
    precious.write_text("mine")
    targets = (home, PACKAGES, CHECKOUT, Path(sys.base_prefix), Path("/usr"), Path("/var"), Path("/dev"))
    script = "; ".join(
        [
            *(f"touch {folder}/written-by-a-container && echo wrote {folder}" for folder in targets),
            f"rm -rf {precious}",
            f"rm -rf {home}",
            f"rm -rf {cloud.folder}/state.sqlite3",
            "mount -o remount,rw /; touch /usr/written-by-a-container && echo wrote /usr",
            'echo a > /tmp/a && echo b > "$HOME/b" && echo c > ./c && echo d > /dev/shm/d && echo own it is',
            "echo done; sleep 60",
        ]
    )
    await cloud.deploy(command=["/bin/bash", "-c", script], configuration={"ingress": None})
    await until(lambda: " done" in cloud.console(cloud.latest))
    printed = cloud.console(cloud.latest)
    assert " wrote " not in printed
    assert "own it is" in printed
    assert precious.read_text() == "mine"
    assert (home / "notes.txt").read_text() == "mine"
    assert (cloud.folder / "state.sqlite3").exists()
    assert not (Path("/dev/shm") / "d").exists()  # noqa: S108


async def test_a_restart_finds_what_was_installed(cloud: Cloud, index: str) -> None:
    await stock(cloud, index)
    await cloud.until_ready()
    (environment,) = (cloud.folder / "apps/group/web/environments").iterdir()
    await cloud.ask_revision(cloud.latest, "restart")
    await until(lambda: "Requirement already satisfied: torch==2.4.0" in cloud.console(cloud.latest))
    assert [environment] == list(environment.parent.iterdir())


async def test_replicas_that_share_an_environment_install_one_after_the_other(
    cloud: Cloud, index: str
) -> None:
    await cloud.deploy(
        replicas=3,
        env={"PIP_INDEX_URL": index},
        command=["/bin/bash", "-c", f"pip install torch==2.4.0 && exec python3 {WEB}"],
    )
    await until(lambda: cloud.console(cloud.latest).count(" listening") == 3)
    printed = cloud.console(cloud.latest)
    assert printed.count("Successfully installed torch-2.4.0") == 1
    assert printed.count("Requirement already satisfied: torch==2.4.0") == 2


async def test_environments_that_no_revision_needs_go_and_with_the_app_all(cloud: Cloud) -> None:
    environments = cloud.folder / "apps/group/web/environments"
    configuration = {"maxInactiveRevisions": 0}
    found: list[set[str]] = []
    for number in range(3):
        command = ["/bin/bash", "-c", f": {number}; exec python3 {WEB}"]
        await cloud.deploy(command=command, configuration=configuration)
        await cloud.until_ready()
        found.append({folder.name for folder in environments.iterdir()})
    assert [len(names) for names in found] == [1, 2, 2]
    assert found[0] != found[1] & found[2]
    await cloud.handler(cloud.app.type).delete(cloud.app, {})
    assert not environments.parent.exists()


async def test_remoras_own_program_sees_its_packages_and_cannot_change_them(cloud: Cloud) -> None:
    release = cloud.folder / "shares/account/data/.remora/releases/r1"
    release.mkdir(parents=True)
    lines = [
        "import os, sys, pathlib, importlib.metadata",
        "print('has torch', importlib.metadata.version('torch'), flush=True)",
        f"try: pathlib.Path({str(PACKAGES)!r}, 'written-by-a-container').touch(); print('wrote', flush=True)",
        "except OSError as error: print('refused', error, flush=True)",
        f"os.execv(sys.executable, [sys.executable, {str(WEB)!r}])",
    ]
    (release / "start.py").write_text("\n".join(lines))
    mount = str(cloud.folder / "mount")
    script = f"cd {mount}/.remora/releases/r1; exec python3 start.py"
    await cloud.deploy(mount=mount, command=["/bin/bash", "-c", script])
    await cloud.until_ready()
    assert "has torch" in cloud.console(cloud.latest)
    if MUST_ISOLATE:
        assert "refused [Errno 30]" in cloud.console(cloud.latest)


async def test_a_machine_without_namespaces_is_not_asked_twice() -> None:
    kernel = Kernel(allowed=False)
    assert not await kernel.isolates()
    assert not await kernel.binds("/mount")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("python -m pip install x", True),
        ("python /env/bin/pip3.11 install x", True),
        ("python -I -m pip list", True),
        ("python train.py pip", False),
        ("python -c print()", False),
        ("python", False),
    ],
)
def test_a_pip_is_known_by_its_command_line(words: str, expected: bool) -> None:
    assert runs_pip(words.split()) is expected
