"""The traffic of an app's revisions. Pure: parses the app's document and computes new weights. Sends nothing.

In Single mode Container Apps sends all traffic to the latest revision as soon as it is ready, checked or not.
In Multiple mode it follows weights, and an entry can follow the latest revision in the same way. So a rollout
pins the traffic first: every entry names a revision, and a new one gets no traffic until its weight is set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

MULTIPLE = "Multiple"
_ALL = 100

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TrafficShare:
    """Weight in per cent for a revision; `revision` "" follows the latest one that is ready."""

    revision: str
    weight: int
    label: str = ""

    def to_json(self) -> Json:
        whose: Json = {"revisionName": self.revision} if self.revision else {"latestRevision": True}
        return {**whose, "weight": self.weight, **({"label": self.label} if self.label else {})}


@dataclass(frozen=True, slots=True)
class Traffic:
    """The app's revision mode and its entries; none in Single mode."""

    multiple: bool
    shares: tuple[TrafficShare, ...]

    @property
    def is_pinned(self) -> bool:
        """Whether a new revision gets no traffic automatically."""
        return self.multiple and all(share.revision for share in self.shares)

    def serving(self, latest: str) -> str:
        """The revision with most of the traffic; `latest` is the one that unnamed entries follow."""
        if not self.multiple or not self.shares:
            return latest
        most = max(self.shares, key=lambda share: share.weight)
        return most.revision or latest

    def pinned(self, latest: str) -> Traffic:
        """The same weights, with a revision's name in every entry."""
        if not self.multiple or not self.shares:
            return Traffic(True, (TrafficShare(latest, _ALL),))
        named = (TrafficShare(share.revision or latest, share.weight, share.label) for share in self.shares)
        return Traffic(True, tuple(named))

    def all_to(self, revision: str) -> Traffic:
        """All traffic to one revision; labels stay on their revisions."""
        labelled = tuple(
            TrafficShare(share.revision, 0, share.label)
            for share in self.shares
            if share.label and share.revision != revision
        )
        label = next((share.label for share in self.shares if share.revision == revision), "")
        return Traffic(True, (TrafficShare(revision, _ALL, label), *labelled))


def traffic_of(configuration: Json) -> Traffic:
    """The traffic in an app's `properties.configuration`."""
    shares: Sequence[Json] = (configuration.get("ingress") or {}).get("traffic") or ()
    return Traffic(
        str(configuration.get("activeRevisionsMode")).lower() == MULTIPLE.lower(),
        tuple(
            TrafficShare(share.get("revisionName") or "", share.get("weight") or 0, share.get("label") or "")
            for share in shares
        ),
    )
