"""What the tables of known causes are written with: signs by certainty, and words that several share."""

from __future__ import annotations

import re
from typing import Final

from remora.rollout.why.causes import Confidence, Sign
from remora.rollout.why.facts import Source

REFUSED: Final = "refused"
"""The cause whose text is the message of the refusal."""
CONTAINER: Final = (
    Source.CONSOLE,
    Source.SYSTEM,
    Source.REPLICA,
    Source.REVISION,
    Source.COMMAND,
    Source.HISTORY,
)
MORE_QUOTA: Final = "ask for more in Azure's portal"
# Not for a container that the platform has stopped, as it does when its revision is deactivated.
BY_ITSELF: Final = r"(?!'? and reason 'ManuallyStopped')"
TEMPLATE: Final = "infra/provision/inference.bicep"


def certain(pattern: str, *sources: Source) -> Sign:
    return _sign(Confidence.CERTAIN, pattern, *sources)


def likely(pattern: str, *sources: Source) -> Sign:
    return _sign(Confidence.LIKELY, pattern, *sources)


def possible(pattern: str, *sources: Source) -> Sign:
    return _sign(Confidence.POSSIBLE, pattern, *sources)


def _sign(confidence: Confidence, pattern: str, *sources: Source) -> Sign:
    return Sign(confidence, re.compile(pattern, re.IGNORECASE), frozenset(sources))
