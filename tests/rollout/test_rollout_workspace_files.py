"""Which files of a workspace are deployed for a program of its own, and what a second sync does."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from remora.adapters.hash_cache import HashCache
from remora.errors import InvalidFile
from remora.rollout.program.files import workspace_files
from remora.rollout.program.sync import plan_workspace
from remora.rollout.share.part import Part
from remora.rollout.share.plan import SyncFile

FILES = (
    "inference/gradio_chat.py",
    "inference/.hidden",
    "inference/__pycache__/x.pyc",
    "setup/requirements.txt",
    "infra/inference.config.json",
    "dataset/data.json",
    "src/serve.py",
    "run.sh",
    "model-cache/microsoft/phi-2/model.safetensors",
    "models/qlora/qlora/gpu_model/adapter/adapter_model.safetensors",
    "models/mine/adapter_config.json",
    "models/mine/extra/notes.txt",
    "models/checkpoints/checkpoint-1/state.bin",
    "models/footprints.json",
    ".git/HEAD",
    "venv/bin/python",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in FILES:
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "project"


def chosen(root: Path, *named: str, part: Part = Part.EVERYTHING) -> set[str]:
    hashes = HashCache(root.parent / "hashes.json")
    return {str(file.path) for file in workspace_files(root, named, part, hashes)}


ADAPTERS = {
    "models/qlora/qlora/gpu_model/adapter/adapter_model.safetensors",
    "models/mine/adapter_config.json",
    "models/mine/extra/notes.txt",
}
STOCK = {
    "inference/gradio_chat.py",
    "setup/requirements.txt",
    "model-cache/microsoft/phi-2/model.safetensors",
}


def test_code_base_and_adapters_without_what_comes_with_every_checkout(root: Path) -> None:
    assert chosen(root) == STOCK | ADAPTERS


def test_what_the_command_names_comes_too(root: Path) -> None:
    assert chosen(root, "src", "run.sh", "nothing") == STOCK | ADAPTERS | {"src/serve.py", "run.sh"}
    assert chosen(root, "infra", ".git", "venv") == STOCK | ADAPTERS


def test_a_part(root: Path) -> None:
    assert chosen(root, part=Part.CODE) == STOCK
    assert chosen(root, part=Part.ADAPTERS) == ADAPTERS


def test_a_link_out_of_the_project_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("mine")
    (root / "inference" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(InvalidFile, match="leads out"):
        chosen(root)


def test_a_link_to_a_folder_is_refused_and_one_to_a_file_inside_is_followed(root: Path) -> None:
    (root / "inference" / "alias.py").symlink_to(root / "src" / "serve.py")
    assert "inference/alias.py" in chosen(root)
    (root / "inference" / "more").symlink_to(root / "src")
    with pytest.raises(InvalidFile, match="link to a folder"):
        chosen(root)


def file(path: str, content: str) -> SyncFile:
    return SyncFile(PurePosixPath(path), len(content), content, content.encode())


def test_a_file_is_kept_only_where_manifest_and_share_agree() -> None:
    code, model = file("inference/a.py", "a"), file("models/x/adapter/w", "w")
    first = plan_workspace([code, model], {}, {}, Part.EVERYTHING)
    assert first.uploads == (code, model)
    sizes = {code.path: 1, model.path: 1}
    again = plan_workspace([code, model], first.manifest, sizes, Part.EVERYTHING)
    assert (again.uploads, again.deletes, again.workspace_id) == ((), (), first.workspace_id)
    changed = plan_workspace([file("inference/a.py", "b"), model], first.manifest, sizes, Part.EVERYTHING)
    assert [item.path for item in changed.uploads] == [code.path]
    assert changed.workspace_id != first.workspace_id
    grown = plan_workspace([code, model], first.manifest, {**sizes, code.path: 9}, Part.EVERYTHING)
    assert grown.uploads == (code,)


def test_only_code_that_a_sync_brought_is_deleted() -> None:
    code, model = file("inference/a.py", "a"), file("models/x/adapter/w", "w")
    former = plan_workspace([code, model], {}, {}, Part.EVERYTHING).manifest
    assert plan_workspace([], former, {}, Part.EVERYTHING).deletes == (code.path,)
    assert plan_workspace([], former, {}, Part.ADAPTERS).deletes == ()
    assert model.path in plan_workspace([], former, {}, Part.EVERYTHING).manifest
