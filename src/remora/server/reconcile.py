"""Following the share: what `aliases.json` says is what is served, on every replica, within two seconds.

Owns when to look. The file is read anew each time rather than its time compared: over SMB a time can be as
old as the client's cache, and two changes can have the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from remora.adapters.aliases import AliasSet
from remora.adapters.shared import SharedModels
from remora.errors import RemoraError
from remora.server.roster import Roster

INTERVAL_SECONDS = 0.5


class Reconciler:
    """Brings a roster to what the share says, again and again."""

    def __init__(
        self,
        roster: Roster,
        share: SharedModels,
        report: Callable[[str], None],
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self._roster = roster
        self._share = share
        self._report = report
        self._interval_seconds = interval_seconds
        self._complaint = ""

    async def reconcile(self) -> None:
        """Serve what the share says now. Raises RemoraError or OSError where it cannot be read."""
        wanted: AliasSet = await asyncio.to_thread(self._share.aliases)
        await self._roster.follow(wanted.generation, wanted.aliases, self._share.adapter)

    async def run(self) -> None:
        """Until cancelled. A share that cannot be read leaves what is served, and is told once."""
        while True:
            await asyncio.sleep(self._interval_seconds)
            complaint = ""
            try:
                await self.reconcile()
            except (RemoraError, OSError) as error:
                complaint = f"the share's aliases cannot be followed: {error}"
            if complaint and complaint != self._complaint:
                self._report(complaint)
            self._complaint = complaint
