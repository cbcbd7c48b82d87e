"""Which digest each alias points to: the document `aliases.json` and the sets that candidates serve.

{"$generation": 12, "tone": {"digest": "3f9a…", "previous": "0bad…"}}

Every change makes the generation one higher, so that of two documents the newer is known without a clock.
Owns the document. `store` knows its path, and `rollout` decides who can replace it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from remora.adapters.adapter import Digest, short
from remora.adapters.store import ALIASES, alias_set_path
from remora.errors import InvalidFile, NotFound, listed, said
from remora.project.alias import is_alias

GENERATION = "$generation"  # no alias begins with a dollar sign
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Alias:
    """What a name points to now, and what a rollback would make it point to."""

    digest: Digest
    previous: Digest | None = None


@dataclass(frozen=True, slots=True)
class AliasSet:
    """All aliases of an endpoint at one moment. Without a document: generation 0, no aliases."""

    generation: int = 0
    aliases: Mapping[str, Alias] = field(default_factory=dict)

    @classmethod
    def of(cls, digests: Mapping[str, Digest]) -> AliasSet:
        """A set without a past."""
        return cls(0, {name: Alias(digest) for name, digest in digests.items()})

    @property
    def digests(self) -> dict[str, Digest]:
        return {name: alias.digest for name, alias in self.aliases.items()}

    @property
    def referenced(self) -> frozenset[tuple[str, Digest]]:
        """Every name and digest that this set serves or could roll back to."""
        return frozenset(
            (name, digest)
            for name, alias in self.aliases.items()
            for digest in (alias.digest, alias.previous)
            if digest is not None
        )

    def serving(self, digests: Mapping[str, Digest]) -> AliasSet:
        """The next generation, in which exactly these names exist; each remembers what it pointed to."""
        return self._next({name: self._pointed(name, digest) for name, digest in digests.items()})

    def with_alias(self, name: str, digest: Digest) -> AliasSet:
        """The next generation, in which one name points to this digest."""
        return self._next({**self.aliases, name: self._pointed(name, digest)})

    def rolled_back(self, name: str) -> AliasSet:
        """The next generation, in which a name points to its previous digest. Raises NotFound."""
        alias = self.require(name)
        if alias.previous is None:
            raise NotFound(
                f"{name!r} has no previous version, it has always been {short(alias.digest)}",
                hint="see: remora adapters history",
            )
        return self._next({**self.aliases, name: Alias(alias.previous, alias.digest)})

    def without(self, name: str) -> AliasSet:
        """The next generation, without a name. Raises NotFound."""
        self.require(name)
        return self._next({kept: alias for kept, alias in self.aliases.items() if kept != name})

    def require(self, name: str) -> Alias:
        """What a name points to. Raises NotFound."""
        if name not in self.aliases:
            known = listed(sorted(self.aliases)) or "none"
            raise NotFound(f"there is no adapter {name!r}", hint=f"there are: {known}", param="name")
        return self.aliases[name]

    def encode(self) -> bytes:
        """The document, spelt alike for equal sets."""
        document: dict[str, object] = {GENERATION: self.generation}
        for name, alias in sorted(self.aliases.items()):
            document[name] = {"digest": alias.digest, "previous": alias.previous}
        return (json.dumps(document, indent=2) + "\n").encode()

    @classmethod
    def decode(cls, data: bytes | None, origin: str) -> AliasSet:
        """A document's content; None is no document. `origin` is for the InvalidFile it may raise."""
        if data is None:
            return cls()
        try:
            document = json.loads(data)
            generation = document.pop(GENERATION, 0)
            if isinstance(generation, bool) or not isinstance(generation, int) or generation < 0:
                raise ValueError(f"{GENERATION} is {generation!r}")
            return cls(generation, {name: _alias(name, entry) for name, entry in document.items()})
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise InvalidFile(
                f"{origin} is malformed: {said(error)}", hint="run: remora adapters repair"
            ) from error

    def _pointed(self, name: str, digest: Digest) -> Alias:
        before = self.aliases.get(name)
        if before is None or before.digest == digest:
            return before or Alias(digest)
        return Alias(digest, before.digest)

    def _next(self, aliases: Mapping[str, Alias]) -> AliasSet:
        return AliasSet(self.generation + 1, aliases)


def read_aliases(
    share: Path, set_id: str = "", settle: Callable[[AliasSet], AliasSet] = lambda named: named
) -> AliasSet:
    """What a replica on this mounted share serves: the newer of `aliases.json` and its own named set.

    So a candidate serves what it is to be checked with while `aliases.json` still says the old, and follows
    `aliases.json` like everybody else as soon as that has caught up. `settle` gets a named set that counts:
    it may hold stamps (`in_place.py`).
    """
    current = _read(share / ALIASES)
    named = _read(share / alias_set_path(set_id)) if set_id else AliasSet()
    return settle(named) if named.generation > current.generation else current


def _read(path: Path) -> AliasSet:
    try:
        return AliasSet.decode(path.read_bytes(), str(path))
    except FileNotFoundError:
        return AliasSet()


def _alias(name: str, entry: Mapping[str, str | None]) -> Alias:
    """Names and digests become folders: nothing in them may lead anywhere else."""
    alias = Alias(Digest(str(entry["digest"])), _previous(entry.get("previous")))
    digests = (alias.digest, alias.previous or alias.digest)
    if not is_alias(name) or not all(_DIGEST.fullmatch(digest) for digest in digests):
        raise ValueError(f"{name!r} points to {entry!r}")
    return alias


def _previous(value: str | None) -> Digest | None:
    return None if value is None else Digest(str(value))
