"""Which adapters are loaded, with their tokenizers, and how many requests use each. Holds no weights.

Owns when one may go. Not thread-safe by itself: the engine calls it under its lock.
"""

from __future__ import annotations

from dataclasses import dataclass

from remora.adapters.adapter import AppliedAdapter, Digest, short
from remora.engine.base import Tokenizer
from remora.errors import ModelNotFound


@dataclass(slots=True)
class _Loaded:
    applied: AppliedAdapter
    tokenizer: Tokenizer
    user_count: int = 0
    retired: bool = False  # takes no new requests; goes with its last one


class LoadedAdapters:
    """Adapters by digest, with their users."""

    def __init__(self) -> None:
        self._by_digest: dict[Digest, _Loaded] = {}

    @property
    def digests(self) -> tuple[Digest, ...]:
        """Those that take requests."""
        return tuple(digest for digest, loaded in self._by_digest.items() if not loaded.retired)

    def add(self, applied: AppliedAdapter, tokenizer: Tokenizer) -> None:
        self._by_digest[applied.digest] = _Loaded(applied, tokenizer)

    def tokenizer(self, digest: Digest) -> Tokenizer:
        """That of an adapter, also of one whose last requests run. Raises ModelNotFound."""
        loaded = self._by_digest.get(digest)
        if loaded is None:
            raise _unknown(digest)
        return loaded.tokenizer

    def revive(self, digest: Digest) -> AppliedAdapter | None:
        """What was applied, where the adapter is still here; a retired one takes requests again."""
        loaded = self._by_digest.get(digest)
        if loaded is None:
            return None
        loaded.retired = False
        return loaded.applied

    def acquire(self, digest: Digest | None) -> None:
        """Count a request in. Raises ModelNotFound."""
        if digest is None:
            return
        loaded = self._by_digest.get(digest)
        if loaded is None or loaded.retired:
            raise _unknown(digest)
        loaded.user_count += 1

    def release(self, digest: Digest | None) -> None:
        """Count a request out."""
        if digest is not None:
            self._by_digest[digest].user_count -= 1

    def retire(self, digest: Digest) -> None:
        """Take no new requests; an unknown digest is a no-op."""
        if digest in self._by_digest:
            self._by_digest[digest].retired = True

    def take_unused(self) -> list[Digest]:
        """Forget and return the retired adapters that nobody uses any more."""
        unused = [
            digest for digest, loaded in self._by_digest.items() if loaded.retired and not loaded.user_count
        ]
        for digest in unused:
            del self._by_digest[digest]
        return unused


def _unknown(digest: Digest) -> ModelNotFound:
    return ModelNotFound(f"no adapter with digest {short(digest)} is loaded", param="model")
