"""No path leads out of a share, whatever it is made of; what may be a name is one file below the root."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containerapps_emulator.state import State
from containerapps_emulator.storage.errors import FilesError
from containerapps_emulator.storage.names import parse_target
from containerapps_emulator.storage.store.model import Share
from containerapps_emulator.storage.store.properties import Changes
from containerapps_emulator.storage.store.tree import locate

PARTS = st.one_of(
    st.sampled_from(
        ["..", ".", "...", "", "%2e%2e", "%2E.", "..%2f", "%2f", "%5c..", "..\\", "a", "A", "%00", "%"]
    ),
    st.text(max_size=6).map(lambda text: quote(text, safe="%./\\")),
)


@given(parts=st.lists(PARTS, max_size=6), keep=st.booleans())
def test_whatever_is_parsed_lies_below_the_share(parts: list[str], keep: bool) -> None:
    try:
        target = parse_target("/".join(["/account1/share1", *parts]), keep_trailing_dots=keep)
    except FilesError:
        return
    assert (target.account, target.share) == ("account1", "share1")
    for name in target.path:
        assert name not in {"", ".", ".."}
        assert not set(name) & set("/\\\0")


@given(account=st.text(max_size=6), share=st.text(max_size=6))
def test_account_and_share_are_never_more_than_a_name(account: str, share: str) -> None:
    try:
        target = parse_target(f"/{quote(account)}/{quote(share)}/x", keep_trailing_dots=False)
    except FilesError:
        return
    assert target.account.isalnum()
    assert set(target.share) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


@pytest.mark.parametrize("share", ["a", "ab", "-abc", "abc-", "a--b", "Abc", "a_b", "x" * 64])
def test_names_that_no_share_may_have_are_refused(share: str) -> None:
    with pytest.raises(FilesError, match="InvalidResourceName"):
        parse_target(f"/account1/{share}/x", keep_trailing_dots=False)


def test_deep_and_long_paths_are_refused() -> None:
    for path in ("/a" * 251, "/" + "/".join(["x" * 200] * 11)):
        with pytest.raises(FilesError, match="InvalidFileOrDirectoryPathName"):
            parse_target(f"/account1/share1{path}", keep_trailing_dots=False)


LINKS = ["up", "out", "loop", "inside"]


@given(names=st.lists(st.sampled_from([*LINKS, "d", "secret", "D"]), min_size=1, max_size=4))
def test_links_are_never_followed(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    base = tmp_path_factory.mktemp("links")
    root = base / "share"
    (root / "d").mkdir(parents=True)
    (base / "secret").write_text("outside")
    for link, goal in zip(LINKS, ["..", str(base), "loop", "d"], strict=True):
        (root / link).symlink_to(goal)
    try:
        place = locate(root, names)
    except FilesError:
        return
    assert place.kind in {None, "directory"}
    if place.kind == "directory":
        assert place.path.resolve().is_relative_to(root)
        assert not place.path.is_symlink()


def test_a_share_that_is_a_link_is_no_share(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "share1").symlink_to("real")
    state = State(tmp_path / "state.sqlite3")
    share = Share(tmp_path / "share1", tmp_path / ".uploads", "account1/share1", state, lambda: 0.0)
    with pytest.raises(FilesError, match="ShareNotFound"):
        share.create_directory(("d",), Changes())
    assert list((tmp_path / "real").iterdir()) == []
    state.close()
