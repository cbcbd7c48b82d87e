"""Which adapters lie in the banks: who is seated, who makes room, and how many seats there are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from remora.adapters.adapter import Digest
from remora.engine.torch.lora.seats import WASTEFUL_STEPS, Seats


def named(names: str) -> set[Digest]:
    return {Digest(name) for name in names}


def test_who_is_seated_is_not_seated_again() -> None:
    seats = Seats()
    assert seats.take(named("ab")) == ["a", "b"]
    assert seats.take(named("a")) == []
    assert seats.take(named("ba")) == []
    assert seats.count == 2


def test_the_least_recently_used_makes_room() -> None:
    seats = Seats()
    seats.take(named("ab"))
    seats.take(named("a"))
    assert seats.take(named("c")) == ["c"]
    assert seats.take(named("ac")) == []
    assert seats.take(named("b")) == ["b"]  # it was b that went for c


def test_the_banks_grow_by_half_and_double_and_shrink_after_a_while() -> None:
    seats = Seats()
    counts = []
    for count in range(1, 10):
        new = seats.take({Digest(str(index)) for index in range(count)})
        assert new == [str(count - 1)]  # who was there before stays where it is
        counts.append(seats.count)
    assert counts == [1, 2, 3, 4, 6, 6, 8, 8, 12]
    for _ in range(WASTEFUL_STEPS):
        assert seats.take(named("0")) == []
    assert seats.take(named("0")) == ["0"]
    assert seats.count == 1


def test_who_left_is_seated_anew() -> None:
    seats = Seats()
    seats.take(named("a"))
    seats.leave(Digest("a"))
    seats.leave(Digest("never there"))
    assert seats.take(named("a")) == ["a"]


@given(st.lists(st.sets(st.sampled_from("abcdefgh"), min_size=1), max_size=30))
def test_all_who_are_wanted_have_seats_of_their_own(steps: list[set[str]]) -> None:
    seats = Seats()
    for wanted in steps:
        step = {Digest(name) for name in wanted}
        seats.take(step)
        taken = [seats[digest] for digest in step]
        assert len(set(taken)) == len(step)
        assert all(0 <= seat < seats.count for seat in taken)
