"""Which adapters lie in the stacks: who is seated, who makes room, and how wide the stacks are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from remora.adapters.adapter import Digest
from remora.engine.torch.seats import WASTEFUL_STEPS, Seats


def ranks(**by_name: int) -> dict[Digest, int]:
    return {Digest(name): rank for name, rank in by_name.items()}


def test_who_is_seated_is_not_seated_again() -> None:
    seats = Seats()
    assert seats.take(ranks(a=4, b=4)) is None
    assert seats.take(ranks(a=4)) == []
    assert seats.take(ranks(b=4, a=4)) == []
    assert seats.column_count == 8


def test_the_least_recently_used_makes_room() -> None:
    seats = Seats()
    seats.take(ranks(a=4, b=4))
    seats.take(ranks(a=4))
    assert seats.take(ranks(c=4)) == ["c"]
    assert seats.take(ranks(a=4, c=4)) == []
    assert seats.take(ranks(b=4)) == ["b"]  # it was b that went for c


def test_the_stacks_grow_by_half_and_double_and_shrink_after_a_while() -> None:
    seats = Seats()
    widths = []
    for count in range(1, 10):
        seats.take({Digest(str(index)): 16 for index in range(count)})
        widths.append(seats.column_count)
    assert widths == [16, 32, 48, 64, 96, 96, 128, 128, 192]
    for _ in range(WASTEFUL_STEPS):
        assert seats.take(ranks(**{"0": 16})) == []
    assert seats.take(ranks(**{"0": 16})) is None
    assert seats.column_count == 16


def test_who_left_is_seated_anew() -> None:
    seats = Seats()
    seats.take(ranks(a=3))
    seats.leave(Digest("a"))
    seats.leave(Digest("never there"))
    assert seats.take(ranks(a=3)) == ["a"]


@given(st.lists(st.dictionaries(st.sampled_from("abcdefgh"), st.just(0), min_size=1), max_size=30))
def test_all_who_are_wanted_have_columns_of_their_own(steps: list[dict[str, int]]) -> None:
    seats = Seats()
    for wanted in steps:
        step = {Digest(name): 1 + 3 * (ord(name) - ord("a")) for name in wanted}
        seats.take(step)
        columns = [
            column
            for digest, rank in step.items()
            for column in range(seats[digest].first_row, seats[digest].first_row + rank)
        ]
        assert len(columns) == len(set(columns)) == sum(step.values())
        assert all(column < seats.column_count for column in columns)
