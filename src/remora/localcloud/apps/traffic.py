"""Turns by weight: which of several names is next, smoothly mixed (3:1 gives a a b a, not a a a b)."""

from __future__ import annotations

from collections.abc import Mapping


class WeightedTurns:
    def __init__(self) -> None:
        self._credit: dict[str, int] = {}

    def next(self, weights: Mapping[str, int]) -> str | None:
        """A name with a positive weight, or None where there is none."""
        positive = {name: weight for name, weight in weights.items() if weight > 0}
        if not positive:
            return None
        self._credit = {name: self._credit.get(name, 0) + weight for name, weight in positive.items()}
        chosen = max(self._credit, key=self._credit.__getitem__)
        self._credit[chosen] -= sum(positive.values())
        return chosen
