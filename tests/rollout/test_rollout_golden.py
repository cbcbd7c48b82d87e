"""`golden.toml`, as people write and break it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from remora.errors import InvalidFile
from remora.rollout.endpoint import Answer, Endpoint, Json
from remora.rollout.golden.check import check_golden
from remora.rollout.golden.file import with_recordings
from remora.rollout.golden.prompts import Golden, GoldenPrompt, read_golden
from remora.rollout.golden.recorded import Position, Stack
from remora.rollout.golden.recorder import record


def test_prompts_are_read_in_order(tmp_path: Path) -> None:
    (tmp_path / "golden.toml").write_text(
        '[[prompt]]\nmodel = "tone"\nuser = "Hooray"\nanswer = "joy"\nmax_tokens = 4\n'
        '[[prompt]]\nmodel = "base"\nuser = "Hi"\nanswer = "Hello."\n'
    )
    assert read_golden(tmp_path).prompts == (
        GoldenPrompt("tone", "Hooray", "joy", 4),
        GoldenPrompt("base", "Hi", "Hello.", 16),
    )


def test_no_file_is_no_prompts(tmp_path: Path) -> None:
    assert read_golden(tmp_path).prompts == ()


@pytest.mark.parametrize(
    "text",
    [
        "[[prompt]",
        "prompt = [1]",
        '[[prompt]]\nmodel = "tone"',
        '[[prompt]]\nmodel="a"\nuser="b"\nanswer="c"\nmax_tokens=0',
    ],
)
def test_a_malformed_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "golden.toml").write_text(text)
    with pytest.raises(InvalidFile, match=r"golden\.toml"):
        read_golden(tmp_path)


WRITTEN = """# Mine.
[[prompt]]
model = "tone"   # the adapter
user = "Hooray"
mine = 1

# Second.
[[prompt]]
model = "base"
user = "Hi"
answer = "Hello."
"""
POSITION = Position('"a"', (('"a"', -0.00012345), ("b\\xe2", -9.0)))
ANSWERED = GoldenPrompt("tone", "Hooray", '"a"', 16, "stop", "d" * 64, ('"a"',), (POSITION,))
STACK = Stack("torch 2.9", "float32", "cpu", "abc")


def test_a_recording_goes_into_its_entry_and_all_else_stays(tmp_path: Path) -> None:
    text = with_recordings(WRITTEN, {0: ANSWERED}, STACK)
    for line in WRITTEN.splitlines():
        assert line in text
    assert text.index("# Second.") > text.index("tokens = ")
    (tmp_path / "golden.toml").write_text(text)
    golden = read_golden(tmp_path)
    rounded = Position('"a"', (('"a"', -0.0001), ("b\\xe2", -9.0)))
    assert golden.prompts == (replace(ANSWERED, top=(rounded,)), GoldenPrompt("base", "Hi", "Hello.", 16))
    assert golden.stack == STACK
    assert with_recordings(text, {0: ANSWERED}, STACK) == text


def test_what_is_added_below_a_recording_is_recorded_in_its_place(tmp_path: Path) -> None:
    added = '# Mine, added later.\n[[prompt]]\nmodel = "tone"\nuser = "More"\n'
    text = with_recordings(f"{with_recordings(WRITTEN, {0: ANSWERED}, STACK)}\n{added}", {2: ANSWERED}, STACK)
    assert added in text
    (tmp_path / "golden.toml").write_text(text)
    golden = read_golden(tmp_path)
    assert [prompt.user for prompt in golden.prompts] == ["Hooray", "Hi", "More"]
    assert golden.prompts[2].tokens == ('"a"',)
    assert golden.stack == STACK


def test_a_first_recording_makes_the_file(tmp_path: Path) -> None:
    (tmp_path / "golden.toml").write_text(with_recordings("", {0: ANSWERED, 1: ANSWERED}, STACK))
    assert len(read_golden(tmp_path).prompts) == 2


def test_only_the_first_positions_and_the_likeliest_tokens_are_kept(tmp_path: Path) -> None:
    long = Position("a", tuple((f"t{n}", -float(n)) for n in range(20)))
    prompt = replace(ANSWERED, answer="a" * 100, tokens=("a",) * 100, top=(long,) * 100)
    (tmp_path / "golden.toml").write_text(with_recordings("", {0: prompt}, STACK))
    (kept,) = read_golden(tmp_path).prompts
    assert (len(kept.tokens), len(kept.top), len(kept.top[0].top)) == (100, 32, 5)


@pytest.mark.parametrize("top", ["[[]]", '[["a"]]', '[["a", "b"]]', "[1]", "1"])
def test_a_malformed_recording_is_named(tmp_path: Path, top: str) -> None:
    entry = f'[[prompt]]\nmodel="a"\nuser="b"\nanswer="c"\ntokens=["c"]\ntop={top}\n'
    (tmp_path / "golden.toml").write_text(entry)
    with pytest.raises(InvalidFile, match=r"prompt 1 in .*golden\.toml"):
        read_golden(tmp_path)


def test_an_answer_that_was_changed_by_hand_counts_and_its_recording_does_not(tmp_path: Path) -> None:
    recorded = replace(ANSWERED, answer="Hello there", tokens=("Hello", " there"), top=(POSITION, POSITION))
    text = with_recordings(WRITTEN, {0: recorded}, STACK)
    (tmp_path / "golden.toml").write_text(text)
    assert not read_golden(tmp_path).prompts[0].edited
    (tmp_path / "golden.toml").write_text(text.replace("Hello there", "Hello here"))
    edited = read_golden(tmp_path).prompts[0]
    assert (edited.answer, edited.edited, edited.tokens, edited.top) == ("Hello here", True, (), ())
    report = check_golden(Says("Hello there"), Golden((edited,)))
    assert (len(report.failed), len(report.edited)) == (1, 1)
    assert "changed by hand" in report.summary
    kept = record(Says("Hello there"), Golden((edited,)), (), 16, overwrite=False)
    assert (kept.entries, kept.disagreeing) == ({}, {0: "Hello there"})
    taken = record(Says("Hello there"), Golden((edited,)), (), 16, overwrite=True)
    assert (taken.entries[0].answer, taken.entries[0].edited) == ("Hello there", False)


@pytest.mark.parametrize(
    ("tokens", "answer"),
    [(("Caf", "\\xc3", "\\xa9", "!"), "Café!"), (("Caf", "\\xc3"), "Caf\ufffd"), ((" Hello", "\n"), "Hello")],
)
def test_bytes_of_tokens_and_blanks_around_an_answer_are_no_change(
    tmp_path: Path, tokens: tuple[str, ...], answer: str
) -> None:
    text = with_recordings(WRITTEN, {0: replace(ANSWERED, answer=answer, tokens=tokens, top=())}, STACK)
    (tmp_path / "golden.toml").write_text(text)
    assert not read_golden(tmp_path).prompts[0].edited


class Says(Endpoint):
    """An endpoint with one model, which always gives the same answer."""

    def __init__(self, text: str) -> None:
        self._text = text

    def models(self) -> list[Json]:
        return [{"id": "tone"}]

    def chat(self, model: str, messages: Sequence[Mapping[str, str]], **_: object) -> Answer:
        assert messages
        return Answer(model, self._text, "", "stop", 2, 1.0)
