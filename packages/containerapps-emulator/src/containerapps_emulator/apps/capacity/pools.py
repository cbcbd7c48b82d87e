"""Room for replicas: the nodes of a dedicated workload profile, the serverless GPUs of a subscription.

A replica that finds no room waits, as on Azure, where it stays "AssigningReplica". Owns only who has
which place; how many there are is asked for each time, for it may change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pool:
    """Where a replica wants a place, and how much of one."""

    key: str
    nodes: int
    share: float  # of a node, above 0 and at most 1
    description: str


class Capacity:
    def __init__(self) -> None:
        self._places: dict[str, tuple[str, int, float]] = {}  # replica → (pool, node, share)
        self._changed = asyncio.Event()

    async def take(
        self, replica: str, pool: Callable[[], Pool | None], on_wait: Callable[[str], None]
    ) -> None:
        """Return once the replica has a place; at once where `pool` says that there is no bound."""
        told = False
        while (wanted := pool()) is not None:
            node = self._node_with_room(wanted)
            if node is not None:
                self._places[replica] = (wanted.key, node, wanted.share)
                return
            if not told:
                on_wait(wanted.description)
                told = True
            await self._changed.wait()

    def give_back(self, replica: str) -> None:
        """A replica without a place is a no-op."""
        if self._places.pop(replica, None) is not None:
            self.changed()

    def changed(self) -> None:
        """There may be more room now: those that wait look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    def used_nodes(self, key: str) -> int:
        """How many nodes of a pool hold at least one replica."""
        return len({node for pool, node, _ in self._places.values() if pool == key})

    def _node_with_room(self, pool: Pool) -> int | None:
        used: dict[int, float] = {}
        for key, node, share in self._places.values():
            if key == pool.key:
                used[node] = used.get(node, 0.0) + share
        return next(
            (node for node in range(pool.nodes) if used.get(node, 0.0) + pool.share <= 1.000001), None
        )
