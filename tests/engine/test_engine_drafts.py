"""What is drafted and when, and which rows it gets; without a model."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.engine.test_engine_scheduler import a_sequence

from remora.engine.torch.scheduling import drafts
from remora.engine.torch.scheduling.drafts import Drafts
from remora.engine.torch.scheduling.scheduler import Chunk, Scheduler
from remora.engine.torch.scheduling.sequence import Sequence
from remora.engine.torch.speculation import rows_with_drafts
from remora.errors import InvalidInput

# In bytes the end of one and the beginning of the next look like a third.
TOKENS = (0, 1, 256, 257, 65536, 16777216)
LOOP = [5, 6, 7, 8]


def found_by_looking(tokens: list[int], most: int) -> list[int]:
    for count in (3, 2):
        for start in range(len(tokens) - count - 1, -1, -1):
            if tokens[start : start + count] == tokens[-count:]:
                text = list(tokens)
                for index in range(most):
                    text.append(text[start + count + index])
                return text[len(tokens) :]
    return []


@given(st.lists(st.sampled_from(TOKENS), max_size=40), st.integers(0, drafts.FIRST_TOKENS))
@example([1, 2, 3, 4, 1, 2, 9, 1, 2], 4)
@example([7] * 5, 4)
@example([256, 1, 0, 65536, 256], 2)
def test_what_followed_the_last_tokens_before_is_drafted_again(tokens: list[int], most: int) -> None:
    assert Drafts().make(tokens, most) == found_by_looking(tokens, most)


@given(st.lists(st.sampled_from(TOKENS), max_size=40))
def test_a_text_that_grows_is_searched_like_a_new_one(tokens: list[int]) -> None:
    growing = Drafts()
    for count in range(len(tokens) + 1):
        assert growing.make(tokens[:count], 4) == Drafts().make(tokens[:count], 4)


def test_a_draft_grows_with_what_was_right() -> None:
    guesses, lengths = Drafts(), []
    for right in (4, 8, 1, 0, 0, 2):
        lengths.append(len(guesses.make(LOOP * 4, 99)))
        guesses.note(right, 16)
    assert lengths == [4, 8, 8, 4, 2, 2]


def test_wrong_drafts_end_in_pauses_that_grow_and_one_that_is_right_ends_them() -> None:
    guesses, made_at = Drafts(), []
    for count in range(4, 700):
        if guesses.make((LOOP * 200)[:count], 8):
            made_at.append(count)
            guesses.note(0, count)
    first = made_at[:6]
    assert first == list(range(first[0], first[0] + 6))
    pauses = [after - before for before, after in pairwise(made_at[5:])]
    assert pauses == [16, 32, 64, *[128] * (len(pauses) - 3)]
    assert len(pauses) >= 5
    resumed = made_at[-1] + 128
    for count in range(resumed, resumed + 5):
        assert guesses.make((LOOP * 300)[:count], 8)
        guesses.note(8, count)


def a_drafting_scheduler(rows: int, rows_with_drafts: int, **limits: int) -> Scheduler:
    return Scheduler(
        rows,
        max_running_requests=8,
        prefill_tokens_per_step=limits.get("prefill", 50),
        growth_rows=limits.get("growth", 128),
        keeps_prefixes=False,
        longest_short_text=limits.get("longest_short_text"),
        rows_with_drafts=rows_with_drafts,
    )


def run_step(scheduler: Scheduler, right: int) -> tuple[Chunk, ...]:
    """Do what the engine does with a step; so many tokens of each draft are right at most, and 99 follows."""
    chunks = scheduler.next_step().chunks
    for chunk in chunks:
        sequence = chunk.sequence
        sequence.computed_count += chunk.count
        if not chunk.completes:
            continue
        chosen = [*chunk.draft[:right], 99]
        sequence.computed_count += len(chosen) - 1
        reasons = [sequence.append(token) for token in chosen]
        assert not any(reasons[:-1])
        if reasons[-1] is not None:
            scheduler.remove(sequence)
    return chunks


def drafts_of(chunks: tuple[Chunk, ...]) -> dict[str, int]:
    return {chunk.sequence.request.request_id: len(chunk.draft) for chunk in chunks}


def test_a_prompt_has_no_draft_and_neither_have_those_beside_it() -> None:
    scheduler = a_drafting_scheduler(1000, 16, prefill=20)
    scheduler.add(a_sequence("first", 15, max_tokens=50))
    assert drafts_of(run_step(scheduler, 9)) == {"first": 0}
    scheduler.add(a_sequence("second", 40, max_tokens=50))
    assert [drafts_of(run_step(scheduler, 0)) for _ in range(2)] == [{"first": 0, "second": 0}] * 2
    assert drafts_of(run_step(scheduler, 0))["first"] > 0


def decoding(scheduler: Scheduler, count: int, max_tokens: int = 50) -> list[Sequence]:
    """Running sequences whose next tokens are easily guessed."""
    sequences = [a_sequence(str(index), 6, max_tokens=max_tokens) for index in range(count)]
    for sequence in sequences:
        scheduler.add(sequence)
    scheduler.next_step()
    for sequence in sequences:
        sequence.tokens += [1, 1]
        sequence.computed_count = len(sequence.tokens) - 1
    return sequences


@pytest.mark.parametrize(
    ("rows", "running", "expected"),
    [
        (16, 1, [4]),
        (4, 1, [3]),
        (16, 2, [4, 4]),
        (16, 6, [2, 2, 2, 2, 1, 1]),
        (4, 3, [1, 0, 0]),
        (4, 4, [0] * 4),
    ],
)
def test_who_decodes_shares_the_rows_that_are_left(rows: int, running: int, expected: list[int]) -> None:
    scheduler = a_drafting_scheduler(1000, rows)
    decoding(scheduler, running)
    chunks = scheduler.next_step().chunks
    assert [len(chunk.draft) for chunk in chunks] == expected
    assert [len(chunk.token_ids) for chunk in chunks] == [1 + count for count in expected]


def test_a_draft_leaves_room_for_one_more_token_and_stops_before_the_end_of_a_text() -> None:
    scheduler = a_drafting_scheduler(1000, 16)
    (sequence,) = decoding(scheduler, 1, max_tokens=4)
    assert sequence.draft(8) == (1,)  # two of four tokens are there, and one follows the draft
    sequence.tokens.append(1)
    assert sequence.draft(8) == ()


def test_no_draft_goes_beyond_the_length_at_which_keys_change() -> None:
    for limit, expected in ((7, 4), (8, 0), (9, 1), (100, 4)):  # beyond 7 the text is long already
        scheduler = a_drafting_scheduler(1000, 16, longest_short_text=limit)
        (sequence,) = decoding(scheduler, 1)
        scheduler.next_step()
        sequence.computed_count = len(sequence.tokens) - 1
        assert drafts_of(scheduler.next_step().chunks) == {"0": expected}


@given(
    st.lists(st.tuples(st.integers(1, 12), st.integers(1, 30)), min_size=1, max_size=6),
    st.integers(40, 80),
    st.integers(1, 6),
    st.integers(0, 8),
)
def test_a_draft_lies_in_its_own_rows_and_takes_nobody_elses(
    requests: list[tuple[int, int]], rows: int, growth: int, right: int
) -> None:
    scheduler = a_drafting_scheduler(rows, 16, growth=growth)
    sequences = [
        a_sequence(str(index), prompt, max_tokens=answer) for index, (prompt, answer) in enumerate(requests)
    ]
    for sequence in sequences:
        scheduler.add(sequence)
    while scheduler.has_work:
        chunks = scheduler.next_step().chunks
        for chunk in chunks:
            slot = chunk.sequence.slot
            assert slot is not None
            assert chunk.start + len(chunk.token_ids) <= slot.row_count
        assert scheduler.next_step().chunks == chunks  # nobody stepped aside
        assert not any(chunk.draft for chunk in chunks) or sum(len(chunk.token_ids) for chunk in chunks) <= 16
        run_step(scheduler, right)
    assert [len(sequence.tokens) for sequence in sequences] == [sum(request) for request in requests]
    assert scheduler.reserved_row_count == 0


def test_another_word_for_speculation_is_refused() -> None:
    assert (rows_with_drafts("auto", 4), rows_with_drafts("off", 4)) == (4, 0)
    with pytest.raises(InvalidInput, match="'on' is none of auto, off"):
        rows_with_drafts("on", 4)
