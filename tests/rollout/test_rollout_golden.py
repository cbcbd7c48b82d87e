"""`golden.toml`, as people write and break it."""

from __future__ import annotations

from pathlib import Path

import pytest

from remora.errors import InvalidFile
from remora.rollout.golden import GoldenPrompt, read_golden


def test_prompts_are_read_in_order(tmp_path: Path) -> None:
    (tmp_path / "golden.toml").write_text(
        '[[prompt]]\nmodel = "tone"\nuser = "Hooray"\nanswer = "joy"\nmax_tokens = 4\n'
        '[[prompt]]\nmodel = "base"\nuser = "Hi"\nanswer = "Hello."\n'
    )
    assert read_golden(tmp_path) == (
        GoldenPrompt("tone", "Hooray", "joy", 4),
        GoldenPrompt("base", "Hi", "Hello.", 16),
    )


def test_no_file_is_no_prompts(tmp_path: Path) -> None:
    assert read_golden(tmp_path) == ()


@pytest.mark.parametrize(
    "text",
    ["[[prompt]", '[[prompt]]\nmodel = "tone"', '[[prompt]]\nmodel="a"\nuser="b"\nanswer="c"\nmax_tokens=0'],
)
def test_a_malformed_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "golden.toml").write_text(text)
    with pytest.raises(InvalidFile, match=r"golden\.toml"):
        read_golden(tmp_path)
