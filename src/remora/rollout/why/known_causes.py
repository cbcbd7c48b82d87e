"""The causes that users met, each with the signs by which it is known. Two tables; `causes.py` reads them.

The codes are Azure's: learn.microsoft.com/azure/azure-resource-manager/troubleshooting,
learn.microsoft.com/azure/container-apps/troubleshooting. Of two equally certain causes the first wins.
"""

from __future__ import annotations

from typing import Final

from remora.rollout.why.causes import Cause
from remora.rollout.why.refused_causes import ACCOUNT, PLACE, SHARE
from remora.rollout.why.replica_causes import ANSWER, START

KNOWN_CAUSES: Final[tuple[Cause, ...]] = (*ACCOUNT, *PLACE, *SHARE, *START, *ANSWER)
