"""How the rows of a step meet the seats of adapters. Owns the layout of batched products; no weights.

A run is a slice of the batch's rows and a slice of the seats of one width, with the same number of places
for each seat. Where every seat has just as many rows, places are rows and nothing is moved; else rows are
taken to their places, and given back. An adapter with far more rows than its neighbours has its own run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

# A seat that is skipped costs its traffic, another run costs some calls a projection: equal near four seats.
MOST_SKIPPED_SEATS = 3
SPARE_PLACES = 8  # a run may have these, and as many again as it has rows, empty
LONG_ROWS = 64  # beyond these, the model's own precision multiplies faster than float32


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A seat in the banks of one width, where rows use it at a scale."""

    width: int
    seat: int
    scale: float


@dataclass(frozen=True, slots=True)
class PlacedRows:
    """Neighbouring rows of the batch in one place."""

    place: Place
    rows: slice

    @property
    def count(self) -> int:
        return int(self.rows.stop - self.rows.start)


@dataclass(frozen=True, slots=True)
class Run:
    """Index tensors are on the model's device."""

    width: int
    seats: slice
    rows: slice
    take: torch.Tensor | None  # (seats * places,): the row for each place, any row for an empty one
    give: torch.Tensor | None  # (rows,): the place of each row
    scales: torch.Tensor | None  # (seats, places, 1), or None where all are 1
    is_long: bool


def plan_runs(placed: Iterable[PlacedRows], *, device: torch.device) -> tuple[Run, ...]:
    """Runs for rows in the order of the batch: few where they are sorted by place, right in any order."""
    runs: list[list[PlacedRows]] = []
    for rows in placed:
        if runs and _fits(runs[-1], rows):
            runs[-1].append(rows)
        else:
            runs.append([rows])
    return tuple(_run(members, device) for members in runs)


def _fits(members: Sequence[PlacedRows], rows: PlacedRows) -> bool:
    last = members[-1]
    skipped = rows.place.seat - last.place.seat - 1
    if last.place.width != rows.place.width or last.rows.stop != rows.rows.start:
        return False
    if not -1 <= skipped <= MOST_SKIPPED_SEATS:
        return False
    together = (*members, rows)
    counts = _counts(together)
    is_alone = len(counts) == 1
    row_count = sum(counts.values())
    padded = _padded(together)
    return is_alone or (max(counts.values()) <= LONG_ROWS and padded <= 2 * row_count + SPARE_PLACES)


def _counts(members: Iterable[PlacedRows]) -> dict[int, int]:
    """Rows by seat."""
    counts: dict[int, int] = {}
    for member in members:
        counts[member.place.seat] = counts.get(member.place.seat, 0) + member.count
    return counts


def _padded(members: Sequence[PlacedRows]) -> int:
    seats = members[-1].place.seat - members[0].place.seat + 1
    return seats * max(_counts(members).values())


def _run(members: Sequence[PlacedRows], device: torch.device) -> Run:
    first_seat, last_seat = members[0].place.seat, members[-1].place.seat
    rows = slice(members[0].rows.start, members[-1].rows.stop)
    places = max(_counts(members).values())
    place_count = (last_seat - first_seat + 1) * places
    take = [rows.start] * place_count
    scales = [1.0] * place_count
    give: list[int] = []
    filled = dict.fromkeys(range(first_seat, last_seat + 1), 0)
    for member in members:
        seat = member.place.seat
        for row in range(member.rows.start, member.rows.stop):
            place = (seat - first_seat) * places + filled[seat]
            filled[seat] += 1
            take[place], scales[place] = row, member.place.scale
            give.append(place)
    is_in_place = place_count == rows.stop - rows.start
    return Run(
        width=members[0].place.width,
        seats=slice(first_seat, last_seat + 1),
        rows=rows,
        take=None if is_in_place else torch.tensor(take, device=device),
        give=None if is_in_place else torch.tensor(give, device=device),
        scales=_column(scales, places, device) if any(scale != 1 for scale in scales) else None,
        is_long=places > LONG_ROWS,
    )


def _column(scales: list[float], places: int, device: torch.device) -> torch.Tensor:
    return torch.tensor(scales, device=device).view(-1, places, 1)
