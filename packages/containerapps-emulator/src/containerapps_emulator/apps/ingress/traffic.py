"""Which revision the next request goes to: by the host that was asked, else by turns of the weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from containerapps_emulator.state import Json


class WeightedTurns:
    """Smoothly mixed (3:1 gives a a b a, not a a a b), and exact: 100 turns follow weights in per cent."""

    def __init__(self) -> None:
        self._credit: dict[str, int] = {}

    def next(self, weights: Mapping[str, int]) -> str | None:
        """A name with a positive weight, or None where there is none."""
        positive = {name: weight for name, weight in weights.items() if weight > 0}
        if len(positive) < 2:
            return next(iter(positive), None)
        self._credit = {name: self._credit.get(name, 0) + weight for name, weight in positive.items()}
        chosen = max(self._credit, key=self._credit.__getitem__)
        self._credit[chosen] -= sum(positive.values())
        return chosen


def weights_of(traffic: Iterable[Json], latest: str) -> dict[str, int]:
    """The weight of each revision; `latest` stands for the entry that follows the latest revision."""
    weights: dict[str, int] = {}
    for item in traffic:
        name = _revision(item, latest)
        weights[name] = weights.get(name, 0) + (item.get("weight") or 0)
    return weights


def asked_for(host: str, app: str, traffic: Iterable[Json], latest: str) -> str | None:
    """The revision that a host names as Azure spells it: `app---label.domain`, `app--revision.domain`.

    None: the host names the app, or something else altogether. A label that nobody has gives "".
    """
    name = host.partition(":")[0].partition(".")[0].lower()
    if label := _after(name, f"{app}---"):
        labelled = (item for item in traffic if (item.get("label") or "").lower() == label)
        return next((_revision(item, latest) for item in labelled), "")
    return name if _after(name, f"{app}--") else None


def _revision(item: Json, latest: str) -> str:
    return latest if item.get("latestRevision") else str(item.get("revisionName") or "")


def _after(text: str, beginning: str) -> str:
    return text[len(beginning) :] if text.startswith(beginning) else ""
