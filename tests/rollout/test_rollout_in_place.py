"""A project with its models on its share only: looked at without weights, known once a replica read them."""

from __future__ import annotations

import shutil
from pathlib import Path
from uuid import uuid4

import pytest
from tests.azure.local_cloud import LocalCloud
from tests.cli.trained_folder import make_adapter, make_base
from tests.rollout.shares import folder_of, make_account, new_share

from remora.adapters.aliases import AliasSet
from remora.adapters.digest import adapter_digest
from remora.adapters.in_place_reading import bring_adapter
from remora.adapters.store import MANIFEST, adapter_folder
from remora.azure.share.files import Share
from remora.cli.models.project_models import ReadProject, read_project
from remora.errors import AdapterRejected, ProjectIncomplete, VerificationFailed
from remora.project.settings import load_settings
from remora.rollout.share.alias_sets import served_aliases, set_id, write_set
from remora.rollout.share.in_place import settle_aliases
from remora.rollout.share.plan import decode_manifest
from remora.rollout.share.sync import prepare, upload

GROUP, ACCOUNT = "in-place", "inplaceaccount"
BASE, TONE = "model-cache/some/tone-base", "models/qlora/adapter"
WEIGHTS = "adapter_model.safetensors"
SETTINGS = f"""
[model]
base = "{BASE}"
name = "tone-base"

[adapters]
tone = "{TONE}"
"""


@pytest.fixture(scope="module", autouse=True)
def account(cloud: LocalCloud) -> None:
    make_account(cloud.clients(GROUP), GROUP, ACCOUNT)


@pytest.fixture
def share(cloud: LocalCloud) -> Share:
    return new_share(cloud.clients(GROUP), GROUP, ACCOUNT)


@pytest.fixture
def content(cloud: LocalCloud, share: Share, tmp_path: Path) -> Path:
    """The share as a container sees it, with what a fine-tuning job wrote."""
    trained = tmp_path / uuid4().hex
    make_base(trained)
    make_adapter(trained, "tone")
    folder = folder_of(cloud, share)
    shutil.copytree(trained / "base", folder / BASE)
    shutil.copytree(trained / "adapters/tone", folder / TONE)
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "remora.toml").write_text(SETTINGS)
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REMORA_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def read(root: Path, share: Share) -> ReadProject:
    return read_project(load_settings(root, {}), lambda: share)


def test_a_release_of_it_uploads_code_and_listings_only(
    share: Share, content: Path, root: Path, home: Path
) -> None:
    project = read(root, share)
    assert project.models.base_name == "tone-base"
    assert len(project.models.adapters[0].modules) == 1
    assert project.on_share is not None
    assert {role: str(folder) for role, folder in project.on_share.folders.items()} == {
        "base": BASE,
        "tone": TONE,
    }
    assert {file.path.parts[1] for file in project.contents.files} == {"releases", "in-place"}
    assert set(project.contents.aliases.values()) == project.contents.unread
    assert read(root, share).contents == project.contents
    assert list(root.rglob("*.safetensors")) == []


def test_what_a_replica_has_read_is_the_digest_from_then_on(
    share: Share, content: Path, root: Path, home: Path
) -> None:
    contents = read(root, share).contents
    upload(share, prepare(share, contents.files), lambda *_: None)
    wanted = AliasSet().serving(contents.aliases)
    write_set(share, wanted)
    with pytest.raises(VerificationFailed, match=r"'tone', which is on the share, .*: it is half a file"):
        settle_aliases(share, wanted, contents.unread, lambda: {"tone": "it is half a file"})

    (stamp,) = contents.unread
    digest = bring_adapter(content, "tone", stamp)  # as a replica does it
    assert digest == adapter_digest(content / TONE)
    assert settle_aliases(share, wanted, contents.unread).digests == {"tone": digest}
    assert served_aliases(share, set_id(wanted)).digests == {"tone": digest}
    manifest = decode_manifest(share.read(MANIFEST))
    assert adapter_folder("tone", digest) / WEIGHTS in manifest
    again = read(root, share).contents
    assert (again.aliases, again.unread) == ({"tone": digest}, frozenset())
    assert (again.release_id, again.base_digest) == (contents.release_id, contents.base_digest)

    shutil.rmtree(content / adapter_folder("tone", digest))
    assert read(root, share).contents.unread == contents.unread  # a replica makes the copy again


def test_another_training_is_another_adapter_and_another_base_another_release(
    share: Share, content: Path, root: Path, home: Path
) -> None:
    first = read(root, share).contents
    weights = content / TONE / WEIGHTS
    weights.write_bytes(weights.read_bytes())
    second = read(root, share).contents
    assert second.unread != first.unread
    assert second.release_id == first.release_id
    base = content / BASE / "model.safetensors"
    base.write_bytes(base.read_bytes())
    assert read(root, share).contents.release_id != first.release_id


def test_later_adapters_are_noticed_and_checkpoints_are_not(
    share: Share, content: Path, root: Path, home: Path
) -> None:
    for folder in ("models/second/adapter", "models/checkpoints/adapter", "models/checkpoint-10/adapter"):
        shutil.copytree(content / TONE, content / folder)
    project = read(root, share)
    assert project.on_share is not None
    assert [str(folder) for folder in project.on_share.unlisted] == ["models/second/adapter"]
    assert "models/second/adapter on share" in project.on_share.lines()[-1]
    assert "remora.toml" in project.on_share.lines()[-1]


def test_an_adapter_of_the_folder_on_a_base_of_the_share(
    share: Share, content: Path, root: Path, home: Path, tmp_path: Path
) -> None:
    shutil.copytree(content / TONE, root / TONE)
    project = read(root, share)
    assert project.on_share is not None
    assert list(project.on_share.folders) == ["base"]
    assert [str(folder) for folder in project.on_share.unlisted] == []
    assert project.contents.unread == frozenset()
    assert project.contents.aliases == {"tone": adapter_digest(root / TONE)}


def test_a_project_with_its_models_asks_no_share(root: Path, home: Path, tmp_path: Path) -> None:
    make_base(root, BASE)
    make_adapter(tmp_path, "tone")
    shutil.copytree(tmp_path / "adapters/tone", root / TONE)
    assert read_project(load_settings(root, {}), lambda: pytest.fail("asked")).on_share is None


def test_what_is_neither_here_nor_there_is_named(share: Share, content: Path, root: Path, home: Path) -> None:
    shutil.rmtree(content / TONE)
    with pytest.raises(ProjectIncomplete) as refused:
        read(root, share)
    assert f"adapter 'tone' {TONE} is neither in {root} nor on share {share.name!r}" in refused.value.message
    assert "remora.toml" in refused.value.hint


def test_one_that_does_not_fit_is_refused_by_its_path_on_the_share(
    share: Share, content: Path, root: Path, home: Path, tmp_path: Path
) -> None:
    make_adapter(tmp_path / "wide", "tone", width=16)
    shutil.copyfile(tmp_path / "wide/adapters/tone" / WEIGHTS, content / TONE / WEIGHTS)
    with pytest.raises(AdapterRejected) as refused:
        read(root, share)
    assert refused.value.message.startswith(f"{share.name}:{TONE} does not fit the base model")
    assert "outline" not in refused.value.message


def test_without_a_share_it_says_where_the_base_may_be(root: Path, home: Path) -> None:
    with pytest.raises(ProjectIncomplete, match="tone-base is not on this machine") as refused:
        read_project(load_settings(root, {}), lambda: None)
    assert "remora import --fetch" in refused.value.hint
