"""Keys and values that outlive their request. Owns what was computed for which tokens, and who goes first.

Found by the adapter's digest, its scale and the token ids, never by a name: what was computed with one
adapter is wrong for any other. The base model is the engine's own, so its digest needs no place in the key.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from remora.adapters.adapter import Digest
from remora.engine.torch.cache.slots import Slot, SlotAllocator
from remora.engine.torch.scheduling.sequence import AdapterUse, Sequence

LEAST_SHARED_TOKENS = 16  # fewer are computed as fast as copied


@dataclass(frozen=True, slots=True, eq=False)
class Prefix:
    """Tokens whose keys and values lie in the first rows of a slot."""

    use: AdapterUse | None
    is_long: bool  # as that of the sequence
    tokens: list[int]
    slot: Slot

    @property
    def key(self) -> tuple[AdapterUse | None, bool]:
        """What two texts must have in common, beside tokens, to have the same keys and values."""
        return self.use, self.is_long


class PrefixCache:
    """What finished requests left behind, least recently used first."""

    def __init__(self, slots: SlotAllocator, *, enabled: bool = True) -> None:
        self._slots = slots
        self._enabled = enabled
        self._prefixes: list[Prefix] = []

    def __contains__(self, prefix: Prefix) -> bool:
        return prefix in self._prefixes

    @property
    def row_count(self) -> int:
        """Rows that are taken by what nobody uses now."""
        return sum(prefix.slot.row_count for prefix in self._prefixes)

    def take_over(self, sequence: Sequence) -> None:
        """Keep what a sequence that leaves has computed; its slot is no longer its own."""
        if sequence.slot is None:
            return
        slot, sequence.slot = sequence.slot, None
        prefix = prefix_of(sequence, slot)
        known = any(
            _shared(other, prefix.key, prefix.tokens) == len(prefix.tokens) for other in self._prefixes
        )
        if not self._enabled or known or len(prefix.tokens) < LEAST_SHARED_TOKENS:
            self._slots.release(slot)
            return
        for other in [
            other for other in self._prefixes if _shared(prefix, other.key, other.tokens) == len(other.tokens)
        ]:
            self.drop(other)
        self._prefixes.append(replace(prefix, slot=self._slots.cut(slot, len(prefix.tokens))))

    def find(self, sequence: Sequence, running: list[Sequence]) -> tuple[Prefix, int] | None:
        """What begins with the most of a sequence's tokens, and how many; also of those that still run.

        One token is always left to compute: its logits are wanted.
        """
        if not self._enabled:
            return None
        tokens = sequence.tokens[:-1]
        candidates = [*self._prefixes, *(prefix_of(other, other.slot) for other in running if other.slot)]
        key = sequence.adapter_use, sequence.is_long
        shared = [(_shared(prefix, key, tokens), prefix) for prefix in candidates]
        count, best = max(shared, key=lambda pair: pair[0], default=(0, None))
        if best is None or count < LEAST_SHARED_TOKENS:
            return None
        if best in self._prefixes:
            self._prefixes.remove(best)
            self._prefixes.append(best)
        return best, count

    def drop_oldest(self) -> bool:
        """Free the rows of the least recently used; False where there is none."""
        if not self._prefixes:
            return False
        self.drop(self._prefixes[0])
        return True

    def drop_behind(self, slot: Slot) -> bool:
        """Free the rows that follow a slot, where they are only kept; False where they are not."""
        prefix = next((prefix for prefix in self._prefixes if prefix.slot.first_row == slot.stop_row), None)
        if prefix is not None:
            self.drop(prefix)
        return prefix is not None

    def forget(self, adapter: Digest) -> None:
        """Free all that was computed with an adapter that is gone."""
        for prefix in [prefix for prefix in self._prefixes if prefix.use and prefix.use[0] == adapter]:
            self.drop(prefix)

    def drop(self, prefix: Prefix) -> None:
        """Free its rows."""
        self._prefixes.remove(prefix)
        self._slots.release(prefix.slot)


def prefix_of(sequence: Sequence, slot: Slot) -> Prefix:
    """What a sequence has computed so far."""
    tokens = sequence.tokens[: sequence.computed_count]
    return Prefix(sequence.adapter_use, sequence.is_long, tokens, slot)


def _shared(prefix: Prefix, key: tuple[AdapterUse | None, bool], tokens: list[int]) -> int:
    """How many tokens the two begin with in common, by halving: comparing slices is fast, a loop is not."""
    if prefix.key != key or prefix.tokens[:1] != tokens[:1]:
        return 0
    equal, different = 0, min(len(prefix.tokens), len(tokens)) + 1
    while different - equal > 1:
        middle = (equal + different) // 2
        if prefix.tokens[equal:middle] == tokens[equal:middle]:
            equal = middle
        else:
            different = middle
    return equal
