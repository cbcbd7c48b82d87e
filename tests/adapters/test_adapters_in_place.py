"""Models that lie on the share: what a replica reads once, keeps, serves, and does when they change."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import pytest
from tests.adapters.conftest import MakeFolder

from remora.adapters.adapter import Digest
from remora.adapters.aliases import Alias, AliasSet
from remora.adapters.digest import adapter_digest
from remora.adapters.in_place import Contents, Listed, Place, contents_path, decode_place, place_path, settled
from remora.adapters.in_place_reading import bring_adapter, check_base, find_contents
from remora.adapters.peft.inspect import ADAPTER_FILES
from remora.adapters.shared import open_share
from remora.adapters.store import RELEASE_FILE, Release, adapter_folder, alias_set_path, release_folder
from remora.errors import AdapterRejected, InvalidFile, ProjectIncomplete

BASE, TONE = PurePosixPath("model-cache/some/tone-base"), PurePosixPath("models/qlora/adapter")


@pytest.fixture
def share(tmp_path: Path, make_base: MakeFolder, make_adapter: MakeFolder) -> Path:
    """A mounted share as a fine-tuning job leaves it, with nothing of Remora's but what a deploy lists."""
    root = tmp_path / "share"
    shutil.copytree(make_base(), root / BASE)
    shutil.copytree(make_adapter(), root / TONE)
    return root


def listed(share: Path, folder: PurePosixPath) -> Digest:
    """What a deploy puts on the share of a model that lies there: its listing. Returns the stamp."""
    found = (path for path in (share / folder).rglob("*") if path.is_file())
    files = {path.relative_to(share / folder).as_posix(): as_listed(path) for path in found}
    place = Place(folder, files)
    path = share / place_path(place.stamp)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(place.encode())
    return place.stamp


def as_listed(path: Path) -> Listed:
    status = path.stat()
    return Listed(status.st_size, status.st_mtime_ns // 1000)


def tree(share: Path) -> Mapping[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(share)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in share.rglob("*")
        if path.is_file() and ".remora" not in path.parts
    }


def test_an_adapter_is_read_once_and_served_from_a_copy(share: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stamp, before = listed(share, TONE), tree(share)
    digest = bring_adapter(share, "tone", stamp)
    assert digest == adapter_digest(share / TONE)
    folder = share / adapter_folder("tone", digest)
    assert sorted(path.name for path in folder.iterdir()) == sorted(ADAPTER_FILES)
    assert tree(share) == before
    monkeypatch.setattr("remora.adapters.in_place_reading.adapter_digest", None)  # not needed again
    assert bring_adapter(share, "tone", stamp) == digest
    assert bring_adapter(share, "tone", digest) == digest
    assert [path.name for path in folder.parent.iterdir()] == [digest]


def test_its_own_tokenizer_and_templates_come_along(share: Path) -> None:
    (share / TONE / "tokenizer_config.json").write_text('{"model_max_length": 64}')
    templates = share / TONE / "additional_chat_templates"
    templates.mkdir()
    (templates / "short.jinja").write_text("{{ messages[-1].content }}")
    stamp = listed(share, TONE)
    digest = bring_adapter(share, "tone", stamp)
    assert digest == adapter_digest(share / TONE)
    folder = share / adapter_folder("tone", digest)
    assert (folder / "additional_chat_templates/short.jinja").is_file()
    assert adapter_digest(folder) == digest


def test_a_copy_that_is_gone_is_made_again(share: Path) -> None:
    stamp = listed(share, TONE)
    digest = bring_adapter(share, "tone", stamp)
    (share / adapter_folder("tone", digest) / ADAPTER_FILES[1]).unlink()
    assert bring_adapter(share, "tone", stamp) == digest
    assert adapter_digest(share / adapter_folder("tone", digest)) == digest


def test_an_adapter_that_is_still_written_is_refused_and_leaves_nothing(share: Path) -> None:
    weights = share / TONE / ADAPTER_FILES[1]
    os.truncate(weights, weights.stat().st_size - 8)
    stamp = listed(share, TONE)
    with pytest.raises((AdapterRejected, InvalidFile)):
        bring_adapter(share, "tone", stamp)
    assert find_contents(share, stamp) is None
    assert list((share / ".remora/adapters/tone").iterdir()) == []
    weights.unlink()
    with pytest.raises(AdapterRejected, match="is not on the share any more"):
        bring_adapter(share, "tone", stamp)


def test_a_base_is_read_once_and_stays_where_it_is(share: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stamp, before = listed(share, BASE), tree(share)
    assert check_base(share, stamp) == share / BASE
    contents = find_contents(share, stamp)
    assert contents is not None
    assert set(contents.files) == {"config.json", "model.safetensors"}
    monkeypatch.setattr("remora.adapters.in_place_reading._read_base", None)  # not needed again
    assert check_base(share, stamp) == share / BASE
    assert tree(share) == before


def test_a_base_that_was_only_touched_is_the_same(share: Path) -> None:
    stamp = listed(share, BASE)
    check_base(share, stamp)
    os.utime(share / BASE / "model.safetensors", (1, 1))
    assert check_base(share, stamp) == share / BASE


def test_a_base_that_changed_after_its_deploy_is_refused(share: Path) -> None:
    stamp = listed(share, BASE)
    check_base(share, stamp)
    weights = share / BASE / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ProjectIncomplete, match="was changed after it was deployed") as changed:
        check_base(share, stamp)
    assert "remora deploy" in changed.value.hint
    assert listed(share, BASE) != stamp
    weights.unlink()
    with pytest.raises(ProjectIncomplete, match=r"lacks model\.safetensors"):
        check_base(share, stamp)


def test_a_replica_serves_both_and_its_aliases_become_digests(share: Path) -> None:
    base, tone = listed(share, BASE), listed(share, TONE)
    release = Release("tone-base", (), base, {}, base_in_place=True)
    folder = share / release_folder("r1")
    folder.mkdir(parents=True)
    (folder / RELEASE_FILE).write_bytes(release.to_json())
    named = share / alias_set_path("set1")
    named.parent.mkdir(parents=True)
    named.write_bytes(AliasSet(1, {"tone": Alias(tone)}).encode())
    models = open_share(share, "r1", "set1")
    assert models.base.path == share / BASE
    assert models.aliases().digests == {"tone": tone}
    adapter = models.adapter("tone", tone)
    assert adapter.digest == adapter_digest(share / TONE)
    assert models.aliases().digests == {"tone": adapter.digest}


def test_settling_keeps_what_is_no_stamp() -> None:
    digest, stamp, former = Digest("a" * 64), Digest("b" * 64), Digest("c" * 64)
    aliases = AliasSet(3, {"new": Alias(stamp, former), "old": Alias(former)})
    after = settled(aliases, {stamp: Contents(digest, {})}.get)
    assert after == AliasSet(3, {"new": Alias(digest, former), "old": Alias(former)})


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        '{"folder": "models/x"}',
        '{"folder": "../x", "files": {}}',
        '{"folder": "/x", "files": {}}',
        '{"folder": "x", "files": {"../b": [1, 2]}}',
        '{"folder": "x", "files": {"/b": [1, 2]}}',
        '{"folder": "x", "files": {"a": [1]}}',
    ],
)
def test_a_damaged_listing_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidFile, match="somewhere is malformed"):
        decode_place(text.encode(), "somewhere")


def test_a_damaged_record_names_its_file(share: Path) -> None:
    stamp = listed(share, BASE)
    path = share / contents_path(stamp)
    path.write_text("{")
    with pytest.raises(InvalidFile, match=path.name) as damaged:
        find_contents(share, stamp)
    assert damaged.value.hint == "run: remora adapters repair"
