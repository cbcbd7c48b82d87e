"""Following the share: what `aliases.json` says is what is served, on every replica, within seconds.

Owns what one look does; `supervision` owns when to look. Each look reads the file again rather than compare
its time: over SMB a time can be as old as the client's cache, and two changes can have the same.
"""

from __future__ import annotations

import asyncio

from remora.adapters.aliases import AliasSet
from remora.adapters.shared import SharedModels
from remora.server.roster.roster import Roster
from remora.server.supervision import BackgroundTask


class Reconciler:
    """Brings a roster to what the share says."""

    def __init__(self, roster: Roster, share: SharedModels) -> None:
        self._roster = roster
        self._share = share

    async def reconcile(self) -> None:
        """Serve what the share says now. Raises RemoraError or OSError where it cannot be read."""
        wanted: AliasSet = await asyncio.to_thread(self._share.aliases)
        await self._roster.follow(wanted.generation, wanted.aliases, self._share.adapter)

    def task(self, interval_seconds: float) -> BackgroundTask:
        """Look again and again. A share that cannot be read leaves what is served."""
        return BackgroundTask("following the share's aliases", self.reconcile, interval_seconds, needed=True)
