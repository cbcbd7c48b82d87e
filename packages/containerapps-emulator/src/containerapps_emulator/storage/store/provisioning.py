"""What Azure provisions for a share of a premium account (kind FileStorage), as its documents compute it.

Pure functions of the quota and the time. Nothing here limits what a share really does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

MAX_IOPS: Final = 102_400
MAX_MIBPS: Final = 10_340
MIN_QUOTA_GIB: Final = 100
_DAY_NS: Final = 24 * 60 * 60 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class Provisioned:
    """Throughput in MiB each second."""

    iops: int
    ingress_mibps: int
    egress_mibps: int

    @property
    def bandwidth_mibps(self) -> int:
        return self.ingress_mibps + self.egress_mibps


def provisioned(quota_gib: int) -> Provisioned:
    return Provisioned(
        iops=min(3000 + quota_gib, MAX_IOPS),
        ingress_mibps=40 + math.ceil(quota_gib * 4 / 100),
        egress_mibps=60 + math.ceil(quota_gib * 6 / 100),
    )


def downgrade_allowed_ns(raised_ns: int) -> int:
    """From when a quota that was raised then can be lowered again."""
    return raised_ns + _DAY_NS
