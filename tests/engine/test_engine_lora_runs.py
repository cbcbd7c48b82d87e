"""Rows and seats: whatever the layout, each row gets what its own adapter makes of it, at its own scale."""

from __future__ import annotations

from itertools import groupby

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from remora.engine.torch.lora.bank import LoraBank, LoraPair
from remora.engine.torch.lora.runs import LONG_ROWS, Place, PlacedRows, Run, plan_runs

CPU = torch.device("cpu")
INPUTS, PARTS, WIDTH = 6, (slice(0, 4), slice(4, 7)), 8


def placed(rows: list[tuple[int, float] | None]) -> list[PlacedRows]:
    """Neighbouring rows with the same seat and scale together; None is a row of the base model."""
    found = []
    numbered = groupby(enumerate(rows), key=lambda item: item[1])
    for use, items in numbered:
        numbers = [number for number, _ in items]
        if use is not None:
            found.append(PlacedRows(Place(WIDTH, *use), slice(numbers[0], numbers[-1] + 1)))
    return found


def runs_of(*counts: tuple[int, int]) -> tuple[Run, ...]:
    """Runs for (seat, rows) in this order."""
    return plan_runs(placed([(seat, 1.0) for seat, count in counts for _ in range(count)]), device=CPU)


def a_bank(seat_count: int) -> tuple[LoraBank, list[dict[int, LoraPair]]]:
    """A bank whose adapters differ in rank, and some of which leave one part alone."""
    torch.manual_seed(seat_count)
    bank = LoraBank(PARTS, WIDTH)
    bank.resize(seat_count)
    adapters = []
    for seat in range(seat_count):
        adapters.append(
            {
                part: LoraPair(torch.randn(rank, INPUTS), torch.randn(rank, columns.stop - columns.start))
                for part, columns in enumerate(PARTS)
                for rank in [1 + (seat + part) % WIDTH]
                if (seat + part) % 3
            }
        )
        bank.write(seat, adapters[seat])
    return bank, adapters


def test_rows_that_are_in_place_are_not_moved() -> None:
    (run,) = runs_of((2, 2), (3, 2), (4, 2))
    assert (run.seats, run.rows) == (slice(2, 5), slice(0, 6))
    assert run.take is run.give is run.scales is None


def test_rows_of_uneven_adapters_share_a_run_and_a_crowd_has_its_own() -> None:
    (uneven,) = runs_of((0, 1), (1, 3), (3, 1))
    assert uneven.seats == slice(0, 4)
    assert uneven.give is not None
    assert uneven.give.tolist() == [0, 3, 4, 5, 9]
    crowd = runs_of((0, 1), (1, LONG_ROWS + 1), (2, 1))
    assert [run.is_long for run in crowd] == [False, True, False]


def test_seats_far_apart_are_no_run() -> None:
    assert [run.seats for run in runs_of((0, 1), (9, 1))] == [slice(0, 1), slice(9, 10)]


SCALES = st.sampled_from([1.0, 0.5])
ROWS = st.lists(st.one_of(st.none(), st.tuples(st.integers(0, 11), SCALES)), max_size=24)


@pytest.mark.parametrize("is_sorted", [False, True])
@given(rows=ROWS)
def test_every_row_gets_what_its_own_adapter_makes_of_it(
    rows: list[tuple[int, float] | None], is_sorted: bool
) -> None:
    if is_sorted:
        rows = sorted(rows, key=lambda use: use or (-1, 0.0))
    bank, adapters = a_bank(12)
    x = torch.randn(len(rows), INPUTS)
    out = torch.randn(len(rows), PARTS[-1].stop)
    expected = out.clone()
    for row, use in enumerate(rows):
        for part, pair in (adapters[use[0]] if use else {}).items():
            expected[row, PARTS[part]] += use[1] * (pair.a @ x[row]) @ pair.b if use else 0
    for run in plan_runs(placed(rows), device=CPU):
        bank.add(run, x, out)
    torch.testing.assert_close(out, expected)


def test_an_adapter_keeps_its_weights_when_seats_are_added() -> None:
    bank, adapters = a_bank(3)
    bank.resize(6)
    x, out = torch.randn(1, INPUTS), torch.zeros(1, PARTS[-1].stop)
    (run,) = plan_runs(placed([(2, 1.0)]), device=CPU)
    bank.add(run, x, out)
    for part, pair in adapters[2].items():
        torch.testing.assert_close(out[0, PARTS[part]], (pair.a @ x[0]) @ pair.b)
