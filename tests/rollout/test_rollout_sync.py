"""A sync against a real share: what it costs, what it notices, and how it goes on after an interruption."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import pytest
from azure.core.exceptions import HttpResponseError
from tests.azure.local_cloud import LocalCloud
from tests.cli.trained_folder import make_adapter, make_base

from remora.adapters.adapter import Digest
from remora.adapters.hash_cache import HashCache
from remora.adapters.model_set import models_of_project
from remora.adapters.store import ALIASES, MANIFEST
from remora.azure.profile import Clients
from remora.azure.provisioning.provision import prepare as prepare_deployment
from remora.azure.provisioning.provision import provision
from remora.azure.share.files import Share
from remora.errors import Locked, RemoraError
from remora.project.settings import load_settings
from remora.rollout.share.contents import Contents, release_contents
from remora.rollout.share.plan import SyncFile, SyncPlan
from remora.rollout.share.sync import change_aliases, point_aliases, prepare, upload

GROUP, ACCOUNT, NAME = "sync-tests", "synctests", "files"
MIB = 1024 * 1024
DIGEST = Digest("a" * 64)
TEMPLATE = {
    "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
    "contentVersion": "1.0.0.0",
    "resources": [
        {
            "type": "Microsoft.Storage/storageAccounts",
            "apiVersion": "2023-01-01",
            "name": ACCOUNT,
            "location": "westeurope",
            "sku": {"name": "Standard_LRS"},
            "kind": "StorageV2",
            "properties": {},
        },
        {
            "type": "Microsoft.Storage/storageAccounts/fileServices/shares",
            "apiVersion": "2023-01-01",
            "name": f"{ACCOUNT}/default/{NAME}",
            "dependsOn": [f"[resourceId('Microsoft.Storage/storageAccounts', '{ACCOUNT}')]"],
        },
    ],
}


@pytest.fixture(scope="module")
def clients(cloud: LocalCloud) -> Clients:
    """Our clients, with the storage account and the share."""
    clients = cloud.clients(GROUP)
    provision(clients, GROUP, prepare_deployment(clients, GROUP, TEMPLATE, {}), lambda _: None)
    return clients


@pytest.fixture
def share(clients: Clients, content: Path) -> Share:
    """The share, empty."""
    shutil.rmtree(content / ".remora", ignore_errors=True)
    return Share(clients, GROUP, ACCOUNT, NAME)


@pytest.fixture(scope="module")
def content(cloud: LocalCloud) -> Path:
    """The share as a container sees it."""
    return cloud.home / "cloud" / "shares" / ACCOUNT / NAME


@contextmanager
def requests(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """`METHOD path` of every request to the share that the SDK logs inside the block."""
    seen: list[str] = []
    name = "azure.core.pipeline.policies.http_logging_policy"
    with caplog.at_level(logging.INFO, logger=name):
        before = len(caplog.records)
        try:
            yield seen
        finally:
            seen += filter(None, (request_in(record.getMessage()) for record in caplog.records[before:]))


def request_in(text: str) -> str | None:
    """The request that a line of the SDK's log tells of, if it is one to the share."""
    url = re.search(rf"Request URL: '[^']*/{ACCOUNT}/{NAME}([^']*)'", text)
    method = re.search(r"Request method: '(\w+)'", text)
    return None if url is None or method is None else f"{method[1]} {url[1]}"


def ranges_in(seen: list[str]) -> int:
    """How many ranges of a file called weights were sent; the SDK's log hides the values of a query."""
    return sum(request.startswith("PUT") and "/weights?comp=" in request for request in seen)


def file(path: str, data: bytes, source: Path | None = None) -> SyncFile:
    return SyncFile(
        PurePosixPath(".remora", path), len(data), hashlib.sha256(data).hexdigest(), source or data
    )


def project(adapters: int) -> tuple[SyncFile, ...]:
    """A base model and so many adapters of two files each."""
    files = [file("models/base/weights", bytes(5000)), file("models/base/config", b"{}")]
    for n in range(adapters):
        files += [file(f"adapters/a{n}/{n:064}/{name}", b"%d" % n) for name in ("config", "weights")]
    return tuple(files)


def sync(share: Share, files: tuple[SyncFile, ...]) -> SyncPlan:
    plan = prepare(share, files)
    upload(share, plan, lambda *_: None)
    point_aliases(share, {"tone": DIGEST})
    return plan


@pytest.mark.parametrize("adapters", [1, 40])
def test_a_sync_with_nothing_changed_costs_three_requests(
    share: Share, caplog: pytest.LogCaptureFixture, adapters: int
) -> None:
    files = project(adapters)
    sync(share, files)
    with requests(caplog) as seen:
        plan = sync(share, files)
    assert not plan.uploads
    assert len(plan.kept) == len(files)
    assert len(seen) == 3, seen


def test_a_small_file_costs_one_request(share: Share, caplog: pytest.LogCaptureFixture) -> None:
    sync(share, project(1))
    more = (*project(1), file("models/base/tokenizer", b"abc"))
    with requests(caplog) as seen:
        plan = prepare(share, more)
        upload(share, plan, lambda *_: None)
    assert [str(sent.path) for sent in plan.uploads] == [".remora/models/base/tokenizer"]
    assert sum("tokenizer" in request for request in seen) == 1, seen


@pytest.mark.parametrize("damage", ["models/base/weights", "adapters/a0/" + "0" * 64 + "/weights"])
def test_what_the_share_lost_is_sent_again_once_there_is_work(
    share: Share, content: Path, damage: str
) -> None:
    sync(share, project(2))
    (content / ".remora" / damage).unlink()
    plan = sync(share, (*project(2), file("models/base/tokenizer", b"abc")))
    assert {str(sent.path.relative_to(".remora")) for sent in plan.uploads} == {
        damage,
        "models/base/tokenizer",
    }
    assert (content / ".remora" / damage).exists()


def test_a_base_model_that_was_cut_short_is_noticed_by_a_sync_with_nothing_else_to_do(
    share: Share, content: Path
) -> None:
    sync(share, project(3))
    os.truncate(content / ".remora/models/base/weights", 17)
    (content / ".remora/adapters/a1" / f"{1:064}" / "config").unlink()
    plan = sync(share, project(3))
    assert {sent.path.name for sent in plan.uploads} == {"weights", "config"}
    assert not sync(share, project(3)).uploads


def test_the_manifest_is_the_last_to_know(share: Share, content: Path, tmp_path: Path) -> None:
    """A file that cannot be read stops the sync: nothing is recorded that is not there."""
    gone = file("models/base/weights", b"12345", source=tmp_path / "gone")
    with pytest.raises(FileNotFoundError):
        sync(share, (file("models/base/config", b"{}"), gone))
    assert not (content / MANIFEST).exists()
    assert not (content / ALIASES).exists()


def test_of_ten_adapters_that_share_a_base_the_base_goes_up_once(
    share: Share, content: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_base(tmp_path)
    names = [f"tone{number}" for number in range(10)]
    for name in names:
        make_adapter(tmp_path, name)
    with requests(caplog) as seen:
        first = release_of(tmp_path)
        upload(share, prepare(share, first.files), lambda *_: None)
    created = [request for request in seen if request.endswith("/model.safetensors")]
    assert created == [f"PUT /.remora/models/{first.base_digest}/model.safetensors"]
    assert sorted(path.parents[1].name for path in content.rglob("adapter_model.safetensors")) == names
    make_adapter(tmp_path, "late")
    more = prepare(share, release_of(tmp_path).files).uploads
    assert {file.path.parts[1] for file in more} <= {"adapters", "releases"}


def test_what_says_how_text_becomes_tokens_goes_with_the_weights(tmp_path: Path) -> None:
    """Also the named templates of a base model, which lie in a folder of their own."""
    base, tone = make_base(tmp_path), make_adapter(tmp_path, "tone")
    before = release_of(tmp_path)
    (tone / "chat_template.jinja").write_text("{{ messages[0].content }}")
    for folder in (base, tone):
        (folder / "additional_chat_templates").mkdir()
        (folder / "additional_chat_templates" / "tool_use.jinja").write_text("{{ messages[0].content }}")
    (base / "chat_template.jinja").write_text("[{{ messages[0].content }}]")
    release = release_of(tmp_path)
    digest = release.aliases["tone"]
    assert digest != before.aliases["tone"]
    assert release.base_digest != before.base_digest
    sent = {str(file.path) for file in release.files}
    for name in ("chat_template.jinja", "additional_chat_templates/tool_use.jinja"):
        assert f".remora/adapters/tone/{digest}/{name}" in sent
        assert f".remora/models/{release.base_digest}/{name}" in sent


def release_of(root: Path) -> Contents:
    """The release that a deploy of a project's folder would make."""
    settings = load_settings(root, {})
    return release_contents(models_of_project(settings), settings, HashCache(root / "hashes.json"))


def test_progress_adds_up(share: Share) -> None:
    files, told = project(5), []
    upload(share, prepare(share, files), lambda count, size: told.append((count, size)))
    assert told[-1] == (len(files), sum(each.size_bytes for each in files))
    assert told == sorted(told)


def test_an_interrupted_large_upload_goes_on_where_it_stopped(
    share: Share, content: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = os.urandom(81 * MIB + 5)
    source = tmp_path / "weights"
    source.write_bytes(data)
    files = (file("models/base/weights", data, source),)

    def stop(_: int, sent_bytes: int) -> None:
        if sent_bytes > 12 * MIB:
            raise KeyboardInterrupt

    with requests(caplog) as first, pytest.raises(KeyboardInterrupt):
        upload(share, prepare(share, files), stop)
    begun = ranges_in(first)
    begun = ranges_in(first)
    assert 3 <= begun < 21
    assert (content / files[0].path).stat().st_size == len(data)
    told: list[int] = []
    with requests(caplog) as second:
        upload(share, prepare(share, files), lambda _, size: told.append(size))
    assert ranges_in(second) == 21 - begun
    assert told[0] >= 12 * MIB
    assert told[-1] == len(data)
    assert (content / files[0].path).read_bytes() == data
    assert set(json.loads((content / MANIFEST).read_bytes())["files"]) == {str(files[0].path)}


def test_ctrl_c_stops_a_large_file_in_the_middle(
    share: Share, content: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = tmp_path / "weights"
    source.write_bytes(bytes(81 * MIB))
    files = (file("models/base/weights", bytes(81 * MIB), source), file("models/base/config", b"{}"))

    def interrupt(done: int, _: int) -> None:
        if done:
            raise KeyboardInterrupt

    with requests(caplog) as seen, pytest.raises(KeyboardInterrupt):
        upload(share, prepare(share, files), interrupt)
    assert ranges_in(seen) < 21
    assert not (content / MANIFEST).exists()


def test_ranges_of_other_content_are_not_used(share: Share, content: Path, tmp_path: Path) -> None:
    source, path = tmp_path / "weights", PurePosixPath(".remora/weights")
    for fill in (b"a", b"b"):
        data = fill * (5 * MIB)
        source.write_bytes(data)
        share.upload(path, source, sha256=hashlib.sha256(data).hexdigest())
        assert (content / path).read_bytes() == data


def test_a_source_that_shrinks_while_it_is_sent_is_an_error(
    share: Share, content: Path, tmp_path: Path
) -> None:
    source = tmp_path / "weights"
    source.write_bytes(bytes(30 * MIB))
    files = (file("models/base/weights", bytes(30 * MIB), source),)

    def cut(_: int, sent_bytes: int) -> None:
        if sent_bytes:
            os.truncate(source, MIB)

    with pytest.raises(OSError, match="truncated during its upload"):
        upload(share, prepare(share, files), cut)
    assert not (content / MANIFEST).exists()


def test_aliases_are_replaced_only_when_they_change(share: Share, content: Path) -> None:
    assert point_aliases(share, {"tone": DIGEST})
    before = (content / ALIASES).stat()
    assert not point_aliases(share, {"tone": DIGEST})
    after = (content / ALIASES).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert json.loads((content / ALIASES).read_bytes())["$generation"] == 1
    assert point_aliases(share, {"tone": Digest("b" * 64)})
    assert json.loads((content / ALIASES).read_bytes())["$generation"] == 2
    assert json.loads((content / ALIASES).read_bytes())["tone"] == {"digest": "b" * 64, "previous": DIGEST}
    assert [path.name for path in content.joinpath(".remora").iterdir()] == ["aliases.json"]


@pytest.mark.parametrize("first", [None, b"old"])
def test_of_two_writers_one_wins_and_the_other_is_told(
    share: Share, content: Path, first: bytes | None
) -> None:
    if first is not None:
        share.replace(ALIASES, first)
    winner = Share(share._clients, GROUP, ACCOUNT, NAME)
    winner.replace_if_same(ALIASES, b"winner", expected=first)
    with pytest.raises(Locked, match=r"aliases\.json"):
        share.replace_if_same(ALIASES, b"loser", expected=first)
    assert (content / ALIASES).read_bytes() == b"winner"
    assert [path.name for path in content.joinpath(".remora").iterdir()] == ["aliases.json"]


def test_the_lease_of_a_writer_that_died_is_broken(share: Share, content: Path) -> None:
    """And where it only seemed dead, its rename is refused."""
    share.replace(ALIASES, b"old")
    dead = share._client.get_file_client(str(ALIASES)).acquire_lease()
    share.replace_if_same(ALIASES, b"new", expected=b"old")
    late = share._client.get_file_client(f"{ALIASES}.late")
    late.upload_file(b"late")
    with pytest.raises(HttpResponseError):
        late.rename_file(str(ALIASES), overwrite=True, destination_lease=dead)
    assert (content / ALIASES).read_bytes() == b"new"


def test_many_writers_at_once_lose_no_change(share: Share, content: Path) -> None:
    def count_up(writer: int) -> bool:
        digest = Digest(f"{writer:064x}")
        try:
            change_aliases(share, lambda now: now.with_alias("tone", digest))
        except Locked:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        wins = sum(pool.map(count_up, range(12)))
    assert wins >= 1
    assert json.loads((content / ALIASES).read_bytes())["$generation"] == wins


def test_a_missing_share_is_not_an_empty_one(clients: Clients) -> None:
    with pytest.raises(RemoraError, match="nosuchshare"):
        prepare(Share(clients, GROUP, ACCOUNT, "nosuchshare"), project(1))
