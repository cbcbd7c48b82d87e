"""The sync plan: what is uploaded, what is kept, and what the manifest says afterwards."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remora.errors import InvalidFile
from remora.rollout.share.plan import Recorded, SyncFile, decode_manifest, encode_manifest, plan_sync

names = st.sampled_from([PurePosixPath(".remora/adapters/tone", d, f) for d in "ab" for f in ("x", "y")])


def file(path: str, size: int = 3) -> SyncFile:
    return SyncFile(PurePosixPath(path), size, sha256="0" * 64, source=b"x" * size)


def test_first_sync_uploads_everything() -> None:
    plan = plan_sync([file("a/1"), file("a/2", 5)], manifest={}, sizes={})
    assert [str(upload.path) for upload in plan.uploads] == ["a/1", "a/2"]
    assert plan.upload_bytes == 8
    assert not plan.kept


def test_second_sync_uploads_nothing() -> None:
    wanted = [file("a/1"), file("a/2", 5)]
    first = plan_sync(wanted, manifest={}, sizes={})
    sizes = {upload.path: upload.size_bytes for upload in first.uploads}
    second = plan_sync(wanted, first.manifest, sizes)
    assert second.uploads == ()
    assert second.manifest == first.manifest


@pytest.mark.parametrize("sizes", [{}, {PurePosixPath("a/1"): 2}], ids=["gone", "cut short"])
def test_what_the_share_lost_is_uploaded_again(sizes: dict[PurePosixPath, int]) -> None:
    manifest = plan_sync([file("a/1")], manifest={}, sizes={}).manifest
    assert len(plan_sync([file("a/1")], manifest, sizes).uploads) == 1


def test_a_file_that_no_manifest_lists_is_uploaded_even_if_it_is_there() -> None:
    """An upload that was interrupted leaves a file of full length with a hole in it."""
    plan = plan_sync([file("a/1")], manifest={}, sizes={PurePosixPath("a/1"): 3})
    assert len(plan.uploads) == 1


@given(
    wanted=st.dictionaries(names, st.integers(0, 9)),
    manifest=st.dictionaries(names, st.integers(0, 9)),
    sizes=st.dictionaries(names, st.integers(0, 9)),
)
def test_nothing_is_forgotten(
    wanted: dict[PurePosixPath, int], manifest: dict[PurePosixPath, int], sizes: dict[PurePosixPath, int]
) -> None:
    files = [SyncFile(path, size, "1" * 64, b"") for path, size in wanted.items()]
    recorded = {path: Recorded("1" * 64, size) for path, size in manifest.items()}
    plan = plan_sync(files, recorded, sizes)
    assert {*plan.uploads, *plan.kept} == set(files)
    assert not {*plan.uploads} & {*plan.kept}
    assert set(plan.manifest) == set(manifest) | set(wanted)
    assert decode_manifest(encode_manifest(plan.manifest)) == plan.manifest


@pytest.mark.parametrize("data", [b"", b"[]", b'{"files": {"a": 1}}', b"\xff"])
def test_a_malformed_manifest_is_named(data: bytes) -> None:
    with pytest.raises(InvalidFile, match=r"manifest\.json"):
        decode_manifest(data)
