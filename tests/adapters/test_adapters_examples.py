"""The prompts that the chat pages offer: which ones, and what an odd file on the share costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from remora.adapters.examples import (
    MOST_BYTES,
    MOST_CHARACTERS,
    MOST_EXAMPLES,
    chosen_examples,
    encode_examples,
    read_examples,
)
from remora.adapters.store import EXAMPLES


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / EXAMPLES
    path.parent.mkdir()
    return path


def test_what_is_written_is_read(tmp_path: Path, file: Path) -> None:
    prompts = chosen_examples(
        ["Ich hab's! 🎉", "Ich hab's! 🎉", " ", "x" * (MOST_CHARACTERS + 1), "two\nlines"]
    )
    assert prompts == ("Ich hab's! 🎉", "two\nlines")
    file.write_bytes(encode_examples(prompts))
    assert read_examples(tmp_path) == prompts


def test_there_are_only_so_many() -> None:
    assert len(chosen_examples(map(str, range(100)))) == MOST_EXAMPLES


@pytest.mark.parametrize(
    "data", [b"", b"{", b"3", b"null", b"\xff", b"[" * 100_000, b'["' + b"x" * MOST_BYTES + b'"]'], ids=len
)
def test_a_file_that_is_no_list_of_texts_offers_nothing(tmp_path: Path, file: Path, data: bytes) -> None:
    assert read_examples(tmp_path) == ()  # there is none
    file.write_bytes(data)
    assert read_examples(tmp_path) == ()
