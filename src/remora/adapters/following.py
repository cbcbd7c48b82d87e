"""Following a share that is not mounted: its documents are read again, and its adapters pulled when needed.

Owns what is read and how often. `mirror` owns how.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from remora.adapters.adapter import Digest
from remora.adapters.aliases import AliasSet
from remora.adapters.mirror.mirror import Mirror
from remora.adapters.store import ADAPTERS, ALIASES, EXAMPLES, adapter_folder, alias_set_path

INTERVAL_SECONDS = 2.0  # of the aliases: every look is a request that costs a little
EXAMPLES_SECONDS = 30.0


class Following:
    """Keeps a mirror's documents as the share has them. `alias_set` is that of the revision, or ""."""

    def __init__(self, mirror: Mirror, alias_set: str, *, now: Callable[[], float] = time.monotonic) -> None:
        self._mirror = mirror
        self._set = alias_set_path(alias_set) if alias_set else None
        self._now = now
        self._examples_at = -EXAMPLES_SECONDS

    def refresh(self) -> None:
        """Read the aliases again, and what changes less often. Raises CloudUnavailable or Refused."""
        if self._set is not None and not (self._mirror.root / self._set).exists():
            self._mirror.refresh(self._set)  # it never changes
        self._mirror.refresh(ALIASES)
        if self._now() - self._examples_at >= EXAMPLES_SECONDS:
            self._examples_at = self._now()
            self._mirror.refresh(EXAMPLES)

    def bring(self, name: str, digest: Digest) -> None:
        """Have the folder of an adapter, if the share has it. Raises as `Mirror.pull`."""
        self._mirror.pull(adapter_folder(name, digest), f"adapter {name}")

    def forget(self, name: str, digest: Digest) -> None:
        """Have it pulled again."""
        self._mirror.forget(adapter_folder(name, digest))

    def keep(self, aliases: AliasSet) -> None:
        """Free the disk of adapters that nobody can ask for any more."""
        self._mirror.keep_only(
            ADAPTERS, {adapter_folder(name, digest) for name, digest in aliases.referenced}
        )
