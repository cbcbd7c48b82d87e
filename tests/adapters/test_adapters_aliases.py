"""The document of aliases: generations only rise, rollback is a swap, and nothing in it leads elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from remora.adapters.adapter import Digest
from remora.adapters.aliases import Alias, AliasSet, read_aliases
from remora.adapters.store import ALIASES, alias_set_path
from remora.errors import InvalidFile, InvalidInput, NotFound

A, B, C = (Digest(letter * 64) for letter in "abc")


def test_every_change_is_a_generation() -> None:
    first = AliasSet().with_alias("tone", A)
    second = first.with_alias("tone", B)
    assert [first.generation, second.generation] == [1, 2]
    assert second.aliases == {"tone": Alias(B, A)}
    assert second.rolled_back("tone") == AliasSet(3, {"tone": Alias(A, B)})
    assert second.without("tone") == AliasSet(3, {})


def test_serving_is_exact_and_remembers() -> None:
    before = AliasSet(7, {"tone": Alias(A), "pirate": Alias(C)})
    after = before.serving({"tone": B, "new": C})
    assert after == AliasSet(8, {"tone": Alias(B, A), "new": Alias(C)})
    assert before.serving({"tone": A}).aliases == {"tone": Alias(A)}
    assert after.referenced == {("tone", B), ("tone", A), ("new", C)}


def test_a_name_without_a_past_cannot_go_back() -> None:
    with pytest.raises(NotFound, match="no previous version"):
        AliasSet.of({"tone": A}).rolled_back("tone")
    with pytest.raises(NotFound, match="no adapter 'stone'") as caught:
        AliasSet.of({"tone": A}).rolled_back("stone")
    assert "tone" in caught.value.hint


def test_what_is_written_is_read() -> None:
    written = AliasSet(12, {"tone": Alias(B, A), "pirate": Alias(C)})
    assert AliasSet.decode(written.encode(), "") == written
    assert json.loads(written.encode())["$generation"] == 12
    assert list(json.loads(written.encode())) == ["$generation", "pirate", "tone"]


def test_a_file_of_an_older_version_is_generation_0() -> None:
    old = json.dumps({"tone": {"digest": A, "previous": None}}).encode()
    assert AliasSet.decode(old, "") == AliasSet.of({"tone": A})


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"$generation": -1},
        {"$generation": True},
        {"$generation": "1"},
        {"tone": {}},
        {"tone": A},
        {"tone": {"digest": "../../etc"}},
        {"../tone": {"digest": A}},
        {"tone": {"digest": A, "previous": "/"}},
    ],
)
def test_a_document_that_leads_elsewhere_is_refused(document: object) -> None:
    with pytest.raises(InvalidFile, match="here is malformed"):
        AliasSet.decode(json.dumps(document).encode(), "here")


def test_half_a_document_is_refused() -> None:
    with pytest.raises(InvalidFile, match="here is malformed"):
        AliasSet.decode(AliasSet.of({"tone": A}).encode()[:-5], "here")


def test_the_newer_document_is_served(tmp_path: Path) -> None:
    assert read_aliases(tmp_path) == AliasSet()
    current, named = tmp_path / ALIASES, tmp_path / alias_set_path("abc")
    named.parent.mkdir(parents=True)
    current.write_bytes(AliasSet(4, {"tone": Alias(A)}).encode())
    named.write_bytes(AliasSet(5, {"tone": Alias(B, A)}).encode())
    assert read_aliases(tmp_path).digests == {"tone": A}
    assert read_aliases(tmp_path, "abc").digests == {"tone": B}
    current.write_bytes(AliasSet(6, {"tone": Alias(C, B)}).encode())
    assert read_aliases(tmp_path, "abc").digests == {"tone": C}


@pytest.mark.parametrize("set_id", ["", "../aliases", "a/b"])
def test_a_set_has_a_plain_id(set_id: str) -> None:
    with pytest.raises(InvalidInput):
        alias_set_path(set_id)
