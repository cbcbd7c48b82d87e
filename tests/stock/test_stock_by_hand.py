"""Apps made by hand, and a project with nothing but their names in it: what works, what is refused.

What is refused is refused before a byte is uploaded, by name, with what to do next.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from tests.project.stock_layout import LAYOUTS, write_stock_project
from tests.stock.hand_made import ACCOUNT, SHARE, AppWish, HandMade, free_port

from remora.azure.app.state import MountedShare
from remora.errors import DeploymentNotFound, Refused
from remora.project.toolkit.commands import remora_commands
from remora.rollout.revision.app_shape import mount_of, read_shape

PROGRAM = Path(__file__).with_name("small_program.py")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HandMade]:
    made = HandMade.make(tmp_path_factory.mktemp("home"))
    made.add_storage("other", "others")
    yield made
    made.cloud.stop()


def workspace(root: Path, port: int) -> None:
    write_stock_project(root, LAYOUTS[0], program=PROGRAM.read_text().replace("7860", str(port)))


@pytest.mark.parametrize("mode", ["Single", "Multiple"])
def test_another_mount_path_port_mode_and_container_name_work(
    made: HandMade, tmp_path: Path, mode: str
) -> None:
    port, mount = free_port(), str(tmp_path / "data")
    commands = (f"cd {mount}/inference", "exec python3 ./gradio_chat.py")
    name = f"odd-{mode.lower()}"
    made.app(name, AppWish(commands, port=port, mount=mount, mode=mode, container="web"))
    workspace(tmp_path / "project", port)
    deployed = made.deploy(made.project(tmp_path / "project", name))
    assert deployed.changed is True
    assert httpx.get(deployed.url).text == "<title>chat</title>"
    assert made.deploy(tmp_path / "project").changed is False
    logs = made.user.start("logs", str(tmp_path / "project"), "--output", "human")
    printed, _ = logs.communicate(timeout=400)
    assert "small program started" in printed


WISHES: dict[str, tuple[AppWish, str]] = {
    "no-share": (AppWish(("cd /mount/inference", "python3 ./gradio_chat.py"), mount=None), "mounts no Azure"),
    "other-share": (AppWish(("python3 /mount/inference/gradio_chat.py",), storage="other"), "mounts share"),
    "sub-path": (AppWish(("python3 /mount/inference/gradio_chat.py",), sub_path="here"), "only the folder"),
    "no-ingress": (AppWish(("python3 /mount/inference/gradio_chat.py",), ingress=False), "has no ingress"),
    "no-key": (AppWish(tuple(remora_commands())), "does not set REMORA_API_KEY for its container"),
    "elsewhere": (AppWish(tuple(remora_commands()), mount="/elsewhere", key="k"), "mounts the share at"),
}


@pytest.mark.parametrize("name", WISHES)
def test_what_cannot_work_is_refused_before_anything_is_uploaded(
    made: HandMade, tmp_path: Path, name: str
) -> None:
    wish, told = WISHES[name]
    made.app(name, wish)
    workspace(tmp_path, 7860)
    before = sorted(made.files.rglob("*"))
    with pytest.raises(Refused) as refused:
        made.deploy(made.project(tmp_path, name))
    assert told in refused.value.message
    assert f"app {name!r}" in refused.value.message
    assert refused.value.hint
    assert sorted(made.files.rglob("*")) == before


def test_a_name_in_the_file_that_is_no_app_or_no_share(made: HandMade, tmp_path: Path) -> None:
    made.app("well", AppWish(("python3 /mount/inference/gradio_chat.py",)))
    workspace(tmp_path, 7860)
    with pytest.raises(DeploymentNotFound, match="'nobody'"):
        made.deploy(made.project(tmp_path, "nobody"))
    with pytest.raises(DeploymentNotFound, match="'gone'"):
        made.deploy(made.project(tmp_path, "well", FILE_SHARE_NAME="gone"))
    with pytest.raises(Refused) as refused:
        made.deploy(made.project(tmp_path, "well", FILE_SHARE_NAME="others"))
    assert f"share 'others' of storage account '{ACCOUNT}'" in refused.value.message


def test_a_key_under_another_name_is_found(made: HandMade) -> None:
    app = made.app("keyed", AppWish(("true",), key="k-1", key_secret="my-own-name"))
    assert app.api_key() == "k-1"


def test_of_several_containers_the_first_must_mount_the_share(made: HandMade) -> None:
    """The local cloud runs one container, so the second one is written into what it answered."""
    app = made.app("two", AppWish(("python3 /mount/inference/gradio_chat.py",)))
    shape, share = read_shape(app), MountedShare(ACCOUNT, SHARE)
    (ours,) = shape.state.template["containers"]
    sidecar = {"name": "sidecar", "image": "proxy"}
    behind = replace(shape.state, template={**shape.state.template, "containers": [sidecar, ours]})
    first = replace(shape.state, template={**shape.state.template, "containers": [ours, sidecar]})
    assert mount_of(replace(shape, state=first), share) == "/mount"
    with pytest.raises(Refused, match="'main', which mounts a share, is not the first"):
        mount_of(replace(shape, state=behind), share)
