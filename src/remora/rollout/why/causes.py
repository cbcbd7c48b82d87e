"""From facts to a cause: the form of a row of the table, and how the best row is chosen.

Owns the choice. The rows are in `known_causes.py`. A cause is never more certain than its best sign: only a
code or a sentence that the cloud uses for exactly one thing is a certain sign.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from remora.rollout.why.facts import Fact, Facts, Source

_MOST_EVIDENCE = 3
_SECOND_HAND = (Source.COMMAND, Source.HISTORY)
UNKNOWN, NOTHING = "unknown", "nothing"


class Confidence(StrEnum):
    """How much a sign proves."""

    CERTAIN = "certain"
    LIKELY = "likely"
    POSSIBLE = "possible"


_RANKS = list(Confidence)


@dataclass(frozen=True, slots=True)
class Sign:
    """A pattern in the text of one fact. `sources` limits where it is looked for; empty is everywhere.

    What a named group of the pattern finds can be used in the texts of its cause.
    """

    confidence: Confidence
    pattern: re.Pattern[str]
    sources: frozenset[Source] = frozenset()

    def matches(self, facts: Facts) -> Iterator[tuple[Fact, Mapping[str, str]]]:
        """The facts that show it, newest first. A console line counts whatever its level."""
        for fact in reversed(facts.rows):
            counts = fact.wrong or fact.source is Source.CONSOLE
            if counts and (not self.sources or fact.source in self.sources):
                found = self.pattern.search(fact.what)
                if found is not None:
                    yield fact, {name: text or "" for name, text in found.groupdict().items()}


@dataclass(frozen=True, slots=True)
class Cause:
    """A row of the table: what is said, and what to do, if one of the signs is there."""

    name: str
    says: str
    fix: str
    signs: tuple[Sign, ...]
    words: Mapping[str, str] = field(default_factory=dict)
    """What stands for a named group that the found sign does not have."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The cause with its evidence. For an unknown one the evidence is what comes nearest to it."""

    cause: str
    says: str
    confidence: Confidence
    evidence: tuple[Fact, ...]
    fix: str

    @property
    def is_known(self) -> bool:
        """Whether a cause was found."""
        return self.cause != UNKNOWN


def judge(facts: Facts, table: Sequence[Cause]) -> Verdict:
    """The cause with the most certain sign; among equals, the first in the table."""
    if facts.serves and not facts.wrong:
        return Verdict(NOTHING, f"nothing is wrong: {facts.serves}", Confidence.CERTAIN, (), "")
    found = [verdict for cause in table if (verdict := _verdict(cause, facts)) is not None]
    if not found:
        return _unknown(facts)
    return min(found, key=lambda verdict: _RANKS.index(verdict.confidence))


def _verdict(cause: Cause, facts: Facts) -> Verdict | None:
    matched = [(sign, fact, words) for sign in cause.signs for fact, words in sign.matches(facts)]
    if not matched:
        return None
    best, _, words = min(matched, key=lambda found: _RANKS.index(found[0].confidence))
    given = {**cause.words, **{name: text for name, text in words.items() if text}}
    # What the cloud says comes before what a command or the history repeats of it.
    facts_of_it = sorted(
        dict.fromkeys(fact for _, fact, _ in matched), key=lambda fact: fact.source in _SECOND_HAND
    )
    evidence = tuple(facts_of_it[:_MOST_EVIDENCE])
    return Verdict(
        cause.name, cause.says.format_map(given), best.confidence, evidence, cause.fix.format_map(given)
    )


def _unknown(facts: Facts) -> Verdict:
    nearest = (facts.wrong or facts.rows)[-_MOST_EVIDENCE:]
    fix = "read the container's log: remora logs, and the platform's: remora logs --system"
    return Verdict(UNKNOWN, "the cause is not known", Confidence.POSSIBLE, tuple(reversed(nearest)), fix)
