"""The mirror of a share, against a real server that cuts, throttles, refuses and changes what is read."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adapters.faulty_share import CLIENT, HEADER, FaultyShare, serving

from remora.adapters.adapter import Digest
from remora.adapters.aliases import AliasSet
from remora.adapters.digest import folder_digest
from remora.adapters.following import EXAMPLES_SECONDS, Following
from remora.adapters.mirror import mirror as module
from remora.adapters.mirror.mirror import IDENTITY_VARIABLE, URL_VARIABLE, Mirror
from remora.adapters.mirror.rest import ATTEMPTS
from remora.adapters.pulling import ATTEMPTS as PULLS
from remora.adapters.pulling import pull_base
from remora.adapters.store import Release, model_folder
from remora.errors import CloudUnavailable, DiskFull, InvalidFile, InvalidInput, NotOffered, Refused

FOLDER = PurePosixPath(".remora/models/abc")
WEIGHTS = f"{FOLDER}/model.safetensors"
ALIASES = PurePosixPath(".remora/aliases.json")


def content_of(size: int) -> bytes:
    """Bytes of which no part is like another."""
    return b"".join(number.to_bytes(4) for number in range(size // 4 + 1))[:size]


@pytest.fixture
def share() -> Iterator[FaultyShare]:
    content = content_of(40_000)
    files = {
        WEIGHTS: content,
        f"{FOLDER}/config.json": b"{}",
        f"{FOLDER}/deep/er/tokenizer.json": b"[]",
        f"{FOLDER}/empty": b"",
        f"{FOLDER}/a%b & <c>.txt": b"x",
        str(ALIASES): b"{}",
    }
    with serving(FaultyShare(files)) as running:
        yield running


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of 9,000 bytes, of which the weights have five."""
    monkeypatch.setattr(module, "PART_BYTES", 9_000)


def pulled(root: Path) -> dict[str, bytes]:
    folder = root / FOLDER
    return {
        f"{FOLDER}/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def wanted(share: FaultyShare) -> dict[str, bytes]:
    return {path: data for path, data in share.files.items() if path.startswith(str(FOLDER))}


@pytest.mark.usefixtures("parts")
def test_a_folder_is_pulled_once_in_parts_and_with_its_progress(share: FaultyShare, tmp_path: Path) -> None:
    told: list[str] = []
    mirror = share.mirror(tmp_path)
    assert mirror.pull(FOLDER, "base", told.append)
    assert pulled(tmp_path) == wanted(share)
    assert share.asked[WEIGHTS] == 5
    assert (told[0], told[-1]) == ("pulling base 0.0 of 0.0 MB", "pulling base 0.0 of 0.0 MB")
    before = share.asked.total()
    assert not mirror.pull(FOLDER, "base", told.append)
    assert share.asked.total() == before
    assert [path.name for path in (tmp_path / ".remora/models").iterdir()] == ["abc"]
    assert share.tokens == 1


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize("faults", [["cut"], ["short"], [500], [503, "cut"], ["ignore-range"], [408, 502]])
def test_a_part_goes_on_where_the_connection_ended(
    share: FaultyShare, tmp_path: Path, faults: list[str | int]
) -> None:
    share.faults[WEIGHTS] = list(faults)
    assert share.mirror(tmp_path).pull(FOLDER, "base")
    assert pulled(tmp_path) == wanted(share)
    assert share.asked[WEIGHTS] == 5 + len(faults)


@pytest.mark.usefixtures("parts")
def test_who_asks_too_often_waits_as_long_as_the_service_says(share: FaultyShare, tmp_path: Path) -> None:
    share.faults = {WEIGHTS: [429], f"{FOLDER}/": [503]}
    slept: list[float] = []
    assert share.mirror(tmp_path, slept=slept).pull(FOLDER, "base")
    assert sorted(slept) == [7.0, 7.0]
    assert pulled(tmp_path) == wanted(share)


def test_a_share_that_stays_out_of_reach_ends_the_pull_and_leaves_nothing(
    share: FaultyShare, tmp_path: Path
) -> None:
    share.faults[WEIGHTS] = [500] * 100
    slept: list[float] = []
    with pytest.raises(CloudUnavailable, match="HTTP 500 InternalError"):
        share.mirror(tmp_path, slept=slept).pull(FOLDER, "base")
    assert share.asked[WEIGHTS] == ATTEMPTS
    assert len(slept) == ATTEMPTS - 1
    assert list((tmp_path / ".remora/models").iterdir()) == []


def test_a_missing_role_is_told_by_name_and_not_asked_again(share: FaultyShare, tmp_path: Path) -> None:
    share.faults[WEIGHTS] = [403]
    with pytest.raises(Refused, match="AuthorizationPermissionMismatch") as refused:
        share.mirror(tmp_path).pull(FOLDER, "base")
    assert "Storage File Data Privileged Reader" in refused.value.hint
    assert share.asked[WEIGHTS] == 1


@pytest.mark.usefixtures("parts")
def test_a_file_that_changes_while_it_is_read_is_no_file(share: FaultyShare, tmp_path: Path) -> None:
    share.faults[WEIGHTS] = ["change"]
    mirror = share.mirror(tmp_path)
    with pytest.raises(InvalidFile, match="changed while it was read"):
        mirror.pull(FOLDER, "base")
    assert not (tmp_path / FOLDER).exists()
    assert mirror.pull(FOLDER, "base")
    assert pulled(tmp_path) == wanted(share)


def test_a_full_disk_is_known_before_anything_is_read(
    share: FaultyShare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SPARE_BYTES", 10**18)
    with pytest.raises(DiskFull, match="base needs 0 MB"):
        share.mirror(tmp_path).pull(FOLDER, "base")
    assert share.asked[WEIGHTS] == 0


def test_a_disk_that_fills_up_meanwhile_leaves_nothing(
    share: FaultyShare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DiskFull):
        share.mirror(tmp_path).pull(FOLDER, "base")
    assert list((tmp_path / ".remora/models").iterdir()) == []


def test_a_listing_leads_nowhere_else(share: FaultyShare, tmp_path: Path) -> None:
    share.files[f"{FOLDER}/..\\up"] = b"x"
    with pytest.raises(InvalidFile, match="is no name"):
        share.mirror(tmp_path).pull(FOLDER, "base")
    with pytest.raises(InvalidFile, match="leads out"):
        share.mirror(tmp_path).refresh(PurePosixPath("../aliases.json"))


def test_a_document_is_read_again_and_goes_with_the_share(share: FaultyShare, tmp_path: Path) -> None:
    mirror = share.mirror(tmp_path)
    assert [mirror.refresh(ALIASES) for _ in range(2)] == [True, False]
    share.files[str(ALIASES)] = b'{"tone": 1}'
    assert mirror.refresh(ALIASES)
    assert (tmp_path / ALIASES).read_bytes() == b'{"tone": 1}'
    share.faults[str(ALIASES)] = [500]
    with pytest.raises(CloudUnavailable):
        mirror.refresh(ALIASES)
    assert (tmp_path / ALIASES).read_bytes() == b'{"tone": 1}'
    del share.files[str(ALIASES)]
    assert mirror.refresh(ALIASES)
    assert not (tmp_path / ALIASES).exists()


def test_a_token_is_kept_until_shortly_before_its_end(share: FaultyShare, tmp_path: Path) -> None:
    mirror = share.mirror(tmp_path)
    for _ in range(3):
        mirror.refresh(ALIASES)
    assert share.tokens == 1
    share.token_seconds = 100  # less than the time before which a token is replaced
    late = share.mirror(tmp_path)
    for _ in range(3):
        late.refresh(ALIASES)
    assert share.tokens == 4


def test_a_token_that_is_refused_is_replaced(share: FaultyShare, tmp_path: Path) -> None:
    mirror = share.mirror(tmp_path)
    mirror.refresh(ALIASES)
    share.tokens += 1  # the service takes another one from now on
    mirror.refresh(ALIASES, attempts=2)
    assert share.tokens == 3


def test_an_identity_endpoint_may_come_up_late_and_says_why_it_does_not(
    share: FaultyShare, tmp_path: Path
) -> None:
    share.token_faults = [500, 503]
    assert share.mirror(tmp_path).refresh(ALIASES)
    share.token_faults = [400] * 10
    with pytest.raises(CloudUnavailable, match="got no token: HTTP 400") as refused:
        share.mirror(tmp_path).refresh(ALIASES)
    assert HEADER not in str(refused.value)


def test_a_container_says_whether_there_is_a_mirror(tmp_path: Path) -> None:
    assert Mirror.of(tmp_path, {}) is None
    given = {URL_VARIABLE: "https://a.file.core.windows.net/models", IDENTITY_VARIABLE: CLIENT}
    with pytest.raises(InvalidInput, match="IDENTITY_ENDPOINT"):
        Mirror.of(tmp_path, given)
    identity = {"IDENTITY_ENDPOINT": "http://127.0.0.1:1/token", "IDENTITY_HEADER": HEADER}
    assert isinstance(Mirror.of(tmp_path, {**given, **identity}), Mirror)


def release_of(share: FaultyShare, root: Path, digest: str, *, in_place: bool = False) -> None:
    release = Release("base", (), Digest(digest), {}, base_in_place=in_place)
    path = root / ".remora/releases/r1/release.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(release.to_json())


def test_a_damaged_base_is_pulled_again_until_it_is_repaired(share: FaultyShare, tmp_path: Path) -> None:
    there = {"config.json": b"{}", "model.safetensors": b"right"}
    source = tmp_path / "source"
    source.mkdir()
    for name, data in there.items():
        (source / name).write_bytes(data)
    digest = folder_digest(source, there)
    share.files |= {f"{model_folder(digest)}/{name}": data for name, data in there.items()}
    share.files[f"{model_folder(digest)}/model.safetensors"] = b"wrong"
    root, told = tmp_path / "root", list[str]()
    release_of(share, root, digest)

    def repair(_: float) -> None:
        share.files[f"{model_folder(digest)}/model.safetensors"] = b"right"

    pull_base(share.mirror(root), "r1", told.append, sleep=repair)
    assert (root / model_folder(digest) / "model.safetensors").read_bytes() == b"right"
    assert any("is damaged; pulling it again" in line for line in told)
    share.files[f"{model_folder(digest)}/model.safetensors"] = b"wrong"
    share.mirror(root).forget(model_folder(digest))
    slept: list[float] = []
    with pytest.raises(InvalidFile, match="is damaged"):
        pull_base(share.mirror(root), "r1", told.append, sleep=slept.append)
    assert len(slept) == PULLS - 1


def test_a_base_that_lies_elsewhere_on_the_share_needs_a_mount(share: FaultyShare, tmp_path: Path) -> None:
    release_of(share, tmp_path, "ab", in_place=True)
    with pytest.raises(NotOffered, match="needs a mounted share"):
        pull_base(share.mirror(tmp_path), "r1", lambda _: None)


def test_following_reads_the_aliases_each_time_and_the_rest_rarely(
    share: FaultyShare, tmp_path: Path
) -> None:
    digest = Digest("a" * 64)
    share.files |= {
        ".remora/alias-sets/s1.json": b"{}",
        ".remora/examples.json": b"[]",
        f".remora/adapters/tone/{digest}/adapter_config.json": b"{}",
        f".remora/adapters/tone/{'b' * 64}/adapter_config.json": b"{}",
    }
    clock = [0.0]
    following = Following(share.mirror(tmp_path), "s1", now=lambda: clock[0])
    for _ in range(3):
        following.refresh()
    assert [share.asked[f".remora/{name}.json"] for name in ("aliases", "alias-sets/s1", "examples")] == [
        3,
        1,
        1,
    ]
    clock[0] += EXAMPLES_SECONDS
    following.refresh()
    assert share.asked[".remora/examples.json"] == 2
    for each in (digest, Digest("b" * 64)):
        following.bring("tone", each)
    following.keep(AliasSet.of({"tone": digest}))
    assert [path.name for path in (tmp_path / ".remora/adapters/tone").iterdir()] == [digest]


@pytest.mark.usefixtures("parts")
@settings(max_examples=15, deadline=None)
@given(
    faults=st.lists(st.sampled_from(["cut", "short", 429, 500, 503, "ignore-range"]), max_size=ATTEMPTS - 1),
    size=st.integers(0, 30_000),
)
def test_whatever_fails_a_few_times_the_content_is_right(
    tmp_path_factory: pytest.TempPathFactory, faults: list[str | int], size: int
) -> None:
    root = tmp_path_factory.mktemp("root")
    with serving(FaultyShare({WEIGHTS: content_of(size)})) as share:
        share.faults[WEIGHTS] = list(faults)
        assert share.mirror(root).pull(FOLDER, "base")
        assert pulled(root) == share.files


def test_the_code_of_a_pull_needs_the_standard_library_only() -> None:
    source = Path(module.__file__).parents[3]
    code = f"import sys; sys.path.insert(0, {str(source)!r}); import remora.adapters.pulling; print('ok')"
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False
    )
    assert (ran.stdout, ran.stderr) == ("ok\n", "")
