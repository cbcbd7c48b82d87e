"""Which adapters a rollout adds, removes, changes and keeps, and why. Pure: alias sets and events in.

The project's folder lists its adapters. Pushed adapters stay: a name that the folder does not have stays
until the user removes it, a name that the folder has stays until the folder's own adapter changes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from remora.adapters.adapter import Digest, short
from remora.rollout.share.history import Happened

_MOVES = frozenset({"adapters push", "adapters alias", "adapters rollback"})
_DEPLOYS = frozenset({"deploy", "restart"})


@dataclass(frozen=True, slots=True)
class AdapterChange:
    """The change of one name. `before` and `after` are the digests that it points to; None if it has none."""

    name: str
    before: Digest | None
    after: Digest | None
    why: str

    @property
    def what(self) -> str:
        """Comes, goes, changes or stays."""
        if self.before == self.after:
            return "stays"
        return "comes" if self.before is None else "goes" if self.after is None else "changes"

    def __str__(self) -> str:
        ends = [short(digest) if digest else "nothing" for digest in (self.before, self.after)]
        told = ends[1] if self.what == "stays" else " → ".join(ends)
        return f"{self.name} {self.what}: {told} ({self.why})"


@dataclass(frozen=True, slots=True)
class Removal:
    """Which names that the folder does not have are removed: all (`prune`), or these."""

    prune: bool = False
    names: Collection[str] = ()


def plan_adapters(
    served: Mapping[str, Digest],
    project: Mapping[str, Digest],
    removal: Removal,
    events: Sequence[Happened],
) -> tuple[AdapterChange, ...]:
    """The change of every served or wanted name, sorted; `events` is the history, newest first."""
    return tuple(
        _change(name, served.get(name), project.get(name), removal, events)
        for name in sorted({*served, *project})
    )


def _change(
    name: str,
    before: Digest | None,
    ours: Digest | None,
    removal: Removal,
    events: Sequence[Happened],
) -> AdapterChange:
    if name in removal.names:
        return AdapterChange(name, before, None, "remora.toml lists it as removed")
    if ours is None:
        if removal.prune:
            return AdapterChange(name, before, None, "--prune: the folder does not have it")
        return AdapterChange(name, before, before, "not in this folder: pushed, or deployed earlier")
    if before not in (None, ours) and not removal.prune and _pushed_over(name, before, ours, events):
        return AdapterChange(name, before, before, "pushed since the last deploy; the folder's is unchanged")
    return AdapterChange(name, before, ours, "as in the folder")


def _pushed_over(name: str, before: Digest | None, ours: Digest, events: Sequence[Happened]) -> bool:
    """Whether the name was changed by hand since the folder's adapter, which is unchanged, was deployed."""
    moves: list[Happened] = []
    for event in events:
        if event.result != "ok":
            continue
        if event.what in _DEPLOYS:
            break
        if event.what in _MOVES and event.name == name:
            moves.append(event)
    return bool(moves) and moves[0].after == before and moves[-1].before == ours
