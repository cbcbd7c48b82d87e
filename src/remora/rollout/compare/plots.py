"""The geometry of the report's plots: axes with round numbers, intervals, bars. `report.html` draws them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH = 400.0  # of every plot, in its own units
SIDE = 14.0  # left and right of an axis of intervals
ROW = 40.0
TOP = 6.0
BARS_LEFT, BARS_HEIGHT = 44.0, 130.0
_WISHED_TICKS = 5
_MOST_LAYER_TICKS = 9
_WIDEST_BAR = 32.0


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark of an axis: where, and its number."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Interval:
    """A row: its label, its number as text, and where value and interval are."""

    label: str
    text: str
    y: float
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class IntervalPlot:
    """Rows of numbers with intervals over one axis. `zero` is where 0 is, None if it is not on the axis."""

    title: str
    description: str
    unit: str
    height: float
    axis_y: float
    ticks: Sequence[Tick]
    rows: Sequence[Interval]
    zero: float | None


@dataclass(frozen=True, slots=True)
class Bar:
    """One layer: where its bar is, and its number as text."""

    x: float
    y: float
    width: float
    height: float
    label: str
    text: str


@dataclass(frozen=True, slots=True)
class BarPlot:
    """Bars over the layers of a model, which begin at `zero_y`."""

    title: str
    description: str
    height: float
    axis_y: float
    zero_y: float
    left: float
    y_ticks: Sequence[Tick]
    x_ticks: Sequence[Tick]
    bars: Sequence[Bar]


def interval_plot(
    title: str, unit: str, rows: Sequence[tuple[str, Mapping[str, float]]], *, signed: bool = False
) -> IntervalPlot:
    """A plot of measures ({value, low, high}) by label. The axis always has 0 on it."""
    numbers = [0.0, *(row[key] for _, row in rows for key in ("low", "high", "value"))]
    ticks = nice_ticks(min(numbers), max(numbers))
    first, last = ticks[0], ticks[-1]

    def at(value: float) -> float:
        return SIDE + (value - first) / (last - first) * (WIDTH - 2 * SIDE)

    axis_y = TOP + ROW * len(rows) + 4
    sign = "+" if signed else ""
    placed = [
        Interval(
            label,
            f"{row['value']:{sign}.3f} [{row['low']:.3f}, {row['high']:.3f}]",
            TOP + ROW * number,
            at(row["value"]),
            at(row["low"]),
            at(row["high"]),
        )
        for number, (label, row) in enumerate(rows)
    ]
    told = "; ".join(f"{row.label}: {row.text}" for row in placed)
    return IntervalPlot(
        title=title,
        description=f"{title}, {unit}, with 95 % intervals. {told}.",
        unit=unit,
        height=axis_y + 34,
        axis_y=axis_y,
        ticks=[Tick(at(tick), _number(tick, ticks)) for tick in ticks],
        rows=placed,
        zero=at(0.0) if first <= 0 <= last else None,
    )


def bar_plot(
    label: str, what: str, bars: Sequence[tuple[str, float]], ends: tuple[float, float], unit: str = ""
) -> BarPlot:
    """A number of each of a model's layers, by the layer's name.

    `ends` are the least and the largest number of all plots with this axis, which always has 0 on it.
    """
    ticks = nice_ticks(min(0.0, ends[0]), max(0.0, ends[1]))
    step = (WIDTH - BARS_LEFT - 4) / len(bars)
    width = min(_WIDEST_BAR, step * 0.85)
    axis_y = TOP + BARS_HEIGHT

    def at(value: float) -> float:
        return axis_y - (value - ticks[0]) / (ticks[-1] - ticks[0]) * BARS_HEIGHT

    placed = [
        Bar(
            x=BARS_LEFT + number * step + (step - width) / 2,
            y=at(max(0.0, value)),
            width=width,
            height=at(min(0.0, value)) - at(max(0.0, value)),
            label=label,
            text=f"{value:.3g}{unit}",
        )
        for number, (label, value) in enumerate(bars)
    ]
    every = math.ceil(len(bars) / _MOST_LAYER_TICKS)
    most = placed[max(range(len(bars)), key=lambda number: bars[number][1])]
    return BarPlot(
        title=f"{label}: {what}",
        description=f"{label}: {what} by layer, {len(bars)} bars; the largest is {most.text}"
        f" in layer {most.label}. The numbers are in the table.",
        height=axis_y + 34,
        axis_y=axis_y,
        zero_y=at(0.0),
        left=BARS_LEFT,
        y_ticks=[Tick(at(tick), _number(tick, ticks) + unit) for tick in ticks],
        x_ticks=[Tick(bar.x + bar.width / 2, bar.label) for bar in placed[::every]],
        bars=placed,
    )


def nice_ticks(low: float, high: float) -> list[float]:
    """Round numbers from `low` or below to `high` or above; their step is 1, 2 or 5 times a power of 10."""
    if high <= low:
        high = low + 1.0
    rough = (high - low) / _WISHED_TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, last + 1)]


def _number(value: float, ticks: Sequence[float]) -> str:
    step = ticks[1] - ticks[0]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value:.{decimals}f}"
