"""Every document that Remora keeps on a share, damaged in every way: who reads it works, or repair helps."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from tests.azure.local_cloud import PRINTER, LocalCloud
from tests.cli.trained_folder import make_adapter, make_base
from tests.rollout.shares import folder_of, make_account, new_share

from remora.adapters.aliases import AliasSet, read_aliases
from remora.adapters.digest import adapter_digest
from remora.adapters.in_place import contents_path, decode_contents, decode_place, place_path
from remora.adapters.in_place_reading import bring_adapter, check_base
from remora.adapters.store import (
    ALIASES,
    MANIFEST,
    RELEASE_FILE,
    WORKSPACE,
    adapter_folder,
    alias_set_path,
    decode_release,
    read_release,
    release_folder,
)
from remora.azure.app.apps import ContainerApp
from remora.azure.profile import Clients
from remora.azure.share.files import Share
from remora.cli.models.project_models import read_project
from remora.errors import AdapterRejected, InvalidFile, ProjectIncomplete
from remora.project.settings import load_settings
from remora.rollout.program.sync import prepare_workspace
from remora.rollout.revision.candidate import ADAPTERS_VARIABLE, RELEASE_VARIABLE
from remora.rollout.share.adapter_versions import AdapterVersions
from remora.rollout.share.alias_sets import served_aliases, set_id, write_set
from remora.rollout.share.contents import Contents
from remora.rollout.share.garbage import collect_garbage
from remora.rollout.share.history import HISTORY, read_history
from remora.rollout.share.lock import LOCK, holder_of, locked
from remora.rollout.share.owner import OWNER, claim
from remora.rollout.share.part import Part
from remora.rollout.share.plan import decode_manifest
from remora.rollout.share.repair import Repaired, repair
from remora.rollout.share.sync import prepare, upload

GROUP, ACCOUNT = "damaged", "damagedaccount"
BASE, TONE = "model-cache/some/tone-base", "models/qlora/adapter"
WEIGHTS = "adapter_model.safetensors"
SETTINGS = f'[model]\nbase = "{BASE}"\nname = "tone-base"\n[adapters]\ntone = "{TONE}"\n'
LATER = 4_000_000_000  # seconds since 1970
DAMAGES = (
    b"",
    b'{"$generation": 1, "tone": {"dig',
    b"[]",
    b"null",
    b'{"files": 3, "folder": 4, "digest": 5, "tone": 6}',
    b"\xff\xfe{",
    b"[" * 100_000,
)


@pytest.fixture(scope="module", autouse=True)
def account(cloud: LocalCloud) -> None:
    clients = cloud.clients(GROUP)
    make_account(clients, GROUP, ACCOUNT)
    clients.apps.managed_environments.begin_create_or_update(
        GROUP, "env", {"location": "westeurope", "properties": {}}
    ).result()


@pytest.fixture
def app(cloud: LocalCloud) -> ContainerApp:
    """An app that has no replica."""
    return ContainerApp(cloud.clients(GROUP), GROUP, f"app{uuid4().hex[:8]}")


@pytest.fixture
def share(cloud: LocalCloud) -> Share:
    return new_share(cloud.clients(GROUP), GROUP, ACCOUNT)


@pytest.fixture
def mount(cloud: LocalCloud, share: Share, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The share as a container sees it, with what a fine-tuning job wrote."""
    monkeypatch.setenv("REMORA_HOME", str(tmp_path / "home"))
    make_base(tmp_path / "trained")
    make_adapter(tmp_path / "trained", "tone")
    folder = folder_of(cloud, share)
    shutil.copytree(tmp_path / "trained/base", folder / BASE)
    shutil.copytree(tmp_path / "trained/adapters/tone", folder / TONE)
    return folder


class Deployed:
    """A release on a share, which a replica has read and whose switch was killed before its last step."""

    def __init__(self, clients: Clients, share: Share, mount: Path, app: ContainerApp, root: Path) -> None:
        self.clients, self.share, self.mount, self.app, self.root = clients, share, mount, app, root
        root.mkdir()
        (root / "remora.toml").write_text(SETTINGS)
        contents = self.put()
        self.base, (self.stamp,) = contents.base_digest, contents.unread
        self.release = contents.release_id
        aliases = AliasSet(2).serving(contents.aliases)
        share.replace(ALIASES, AliasSet(2).encode())
        write_set(share, aliases)
        self.set_id = set_id(aliases)
        self.digest = bring_adapter(mount, "tone", self.stamp)
        check_base(mount, self.base)
        self.name_in_app()
        claim(share, app)

    def name_in_app(self) -> None:
        named = {ADAPTERS_VARIABLE: self.set_id, RELEASE_VARIABLE: self.release}
        clients = self.clients
        environment = clients.apps.managed_environments.get(GROUP, "env")
        container = {
            "name": "main",
            "image": "printer",
            "command": ["python3", str(PRINTER)],
            "env": [{"name": name, "value": value} for name, value in named.items()],
        }
        properties = {
            "environmentId": environment.id,
            "configuration": {"ingress": {"external": True, "targetPort": 7860}},
            "template": {"containers": [container], "scale": {"minReplicas": 0, "maxReplicas": 1}},
        }
        body = {"location": "westeurope", "properties": properties}
        clients.apps.container_apps.begin_create_or_update(GROUP, self.app.name, body).result()

    def put(self) -> Contents:
        """Upload what a deploy finds missing."""
        contents = read_project(load_settings(self.root, {}), lambda: self.share).contents
        upload(self.share, prepare(self.share, contents.files), lambda *_: None)
        return contents

    def read(self) -> None:
        """What deploy, push, list, gc, history and a replica that starts read."""
        prepare_workspace(self.share, (), Part.EVERYTHING)
        read_history(self.share, most=9)
        holder_of(self.share)
        AdapterVersions(self.share, self.set_id).versions()
        collect_garbage(self.share, self.app, dry_run=True)
        read_release(self.mount, self.release)
        check_base(self.mount, self.base)
        assert bring_adapter(self.mount, "tone", self.stamp) == self.digest
        assert served_aliases(self.share, self.set_id).digests == {"tone": self.digest}
        assert read_aliases(self.mount, self.set_id).digests.keys() == {"tone"}
        self.put()

    def repair(self) -> Repaired:
        with locked(self.share, "adapters repair") as lock:
            return repair(lock)


@pytest.fixture
def deployed(cloud: LocalCloud, share: Share, mount: Path, app: ContainerApp, tmp_path: Path) -> Deployed:
    return Deployed(cloud.clients(GROUP), share, mount, app, tmp_path / "project")


REBUILT, ASIDE, IGNORED = "rebuilt", "put aside", "ignored"


@pytest.mark.parametrize(
    ("which", "outcome"),
    [
        ("aliases", REBUILT),
        ("manifest", REBUILT),
        ("alias set", REBUILT),
        ("listing of the base", REBUILT),
        ("listing of the adapter", REBUILT),
        ("record of the base", ASIDE),
        ("record of the adapter", ASIDE),
        ("release", ASIDE),
        ("workspace", ASIDE),
        ("history", IGNORED),
        ("lock", IGNORED),
        ("owner", IGNORED),
    ],
)
def test_a_damaged_document_is_repaired(deployed: Deployed, which: str, outcome: str) -> None:
    path = {
        "aliases": ALIASES,
        "manifest": MANIFEST,
        "alias set": alias_set_path(deployed.set_id),
        "listing of the base": place_path(deployed.base),
        "listing of the adapter": place_path(deployed.stamp),
        "record of the base": contents_path(deployed.base),
        "record of the adapter": contents_path(deployed.stamp),
        "release": release_folder(deployed.release) / RELEASE_FILE,
        "workspace": WORKSPACE,
        "history": HISTORY / "2026-01-01T000000Z-00000000.json",
        "lock": LOCK,
        "owner": OWNER,
    }[which]
    file = deployed.mount / path
    for damage in DAMAGES[:2]:
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(damage)
        if outcome == IGNORED:
            deployed.read()
            assert deployed.repair().files == ()
            continue
        with pytest.raises(InvalidFile) as refused:
            deployed.read()
        assert refused.value.hint == "run: remora adapters repair", damage
        (done,) = deployed.repair().files
        assert (done.path, done.instead == "") == (path, outcome == REBUILT)
        assert done.kept is not None
        assert (deployed.mount / done.kept).read_bytes() == damage
        deployed.put()
        deployed.read()
    assert deployed.repair().files == ()


@pytest.mark.parametrize(
    "decode",
    [
        lambda data: AliasSet.decode(data, "it"),
        lambda data: decode_place(data, "it"),
        lambda data: decode_contents(data, "it"),
        lambda data: decode_release(data, "it"),
        decode_manifest,
    ],
    ids=["aliases", "listing", "record", "release", "manifest"],
)
def test_whatever_a_document_holds_instead_its_reader_names_the_repair(
    decode: Callable[[bytes], object],
) -> None:
    for damage in DAMAGES:
        with pytest.raises(InvalidFile) as refused:
            decode(damage)
        assert refused.value.hint == "run: remora adapters repair", damage


def test_a_set_that_nothing_else_knows_is_put_aside(deployed: Deployed) -> None:
    other = AliasSet(1).serving({"tone": deployed.digest})  # no deploy of now would make it
    write_set(deployed.share, other)
    (deployed.mount / alias_set_path(set_id(other))).write_text("{")
    (done,) = deployed.repair().files
    assert "aliases.json" in done.instead
    assert read_aliases(deployed.mount, set_id(other)) == AliasSet(2)


def test_a_listing_of_what_has_changed_is_put_aside_and_a_deploy_lists_it_again(deployed: Deployed) -> None:
    os.utime(deployed.mount / BASE / "config.json", (LATER, LATER))
    (deployed.mount / place_path(deployed.base)).write_text("{")
    (done,) = deployed.repair().files
    assert done.instead == "run: remora deploy"
    with pytest.raises(ProjectIncomplete, match="nothing says where the base model lies"):
        check_base(deployed.mount, deployed.base)
    check_base(deployed.mount, deployed.put().base_digest)


@pytest.mark.parametrize("name", ["code.zip", "start.py"])
def test_a_release_takes_its_file_from_another_release(deployed: Deployed, name: str) -> None:
    settings = deployed.root / "remora.toml"
    settings.write_text(f"{SETTINGS}[serve]\nmax_queued_requests = 7\n")
    assert deployed.put().release_id != deployed.release
    file = deployed.mount / release_folder(deployed.release) / name
    content = file.read_bytes()
    for damage in (content[:-1], content[:-1] + b"?"):
        file.write_bytes(damage)
        (done,) = deployed.repair().files
        assert done.instead == ""
        assert file.read_bytes() == content
    file.unlink()
    (done,) = deployed.repair().files
    assert (done.kept, file.read_bytes()) == (None, content)


def test_a_manifest_is_rebuilt_with_an_adapters_own_templates(deployed: Deployed) -> None:
    (deployed.mount / TONE / "chat_template.jinja").write_text("{{ messages[-1].content }}")
    stamp = deployed.put().unread
    digest = bring_adapter(deployed.mount, "tone", next(iter(stamp)))
    (deployed.mount / MANIFEST).write_text("{")
    deployed.repair()
    AdapterVersions(deployed.share).point("other", digest)
    assert adapter_digest(deployed.mount / adapter_folder("other", digest)) == digest


def test_what_a_set_names_by_a_stamp_is_no_garbage(deployed: Deployed) -> None:
    copy = deployed.mount / adapter_folder("tone", deployed.digest)
    other = copy.with_name("0" * 64)
    shutil.copytree(copy, other)
    models = deployed.mount / ".remora/models" / ("1" * 64)
    models.mkdir(parents=True)
    collect_garbage(deployed.share, deployed.app, grace=timedelta(0))
    assert (copy.is_dir(), other.exists(), models.exists()) == (True, False, False)
    models.mkdir(parents=True)
    (deployed.mount / release_folder(deployed.release) / RELEASE_FILE).unlink()
    collect_garbage(deployed.share, deployed.app, grace=timedelta(0))
    assert models.is_dir()  # the release may be of any


def test_a_later_training_is_never_served_under_a_former_stamp(deployed: Deployed) -> None:
    weights = deployed.mount / TONE / WEIGHTS
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert bring_adapter(deployed.mount, "tone", deployed.stamp) == deployed.digest
    shutil.rmtree(deployed.mount / adapter_folder("tone", deployed.digest))
    with pytest.raises(AdapterRejected, match="was changed after it was deployed"):
        bring_adapter(deployed.mount, "tone", deployed.stamp)  # its digest is known, and is another one
    (deployed.mount / contents_path(deployed.stamp)).unlink()
    os.utime(weights, (LATER, LATER))
    with pytest.raises(AdapterRejected, match="was changed after it was deployed"):
        bring_adapter(deployed.mount, "tone", deployed.stamp)  # its time tells
    assert not (deployed.mount / contents_path(deployed.stamp)).exists()


def test_a_base_whose_record_is_lost_is_served_only_as_it_was_listed(deployed: Deployed) -> None:
    (deployed.mount / contents_path(deployed.base)).unlink()
    weights = deployed.mount / BASE / "model.safetensors"
    os.utime(weights, (LATER, LATER))
    with pytest.raises(ProjectIncomplete, match="was changed after it was deployed"):
        check_base(deployed.mount, deployed.base)
