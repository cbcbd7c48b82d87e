"""The aliases of a candidate: written beside `aliases.json`, and made it only when the candidate serves.

A set is a document of its own, `.remora/alias-sets/<id>.json`, which never changes. The revision names it
(REMORA_ADAPTERS) and serves it while `aliases.json` is of an older generation; so a candidate can be checked
while those who have the traffic serve what they served.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from remora.adapters.adapter import Digest
from remora.adapters.aliases import AliasSet
from remora.adapters.store import ALIASES, alias_set_path
from remora.azure.files import Share
from remora.rollout.sync import change_aliases

_ID_CHARACTERS = 12


def served_aliases(share: Share, set_id: str) -> AliasSet:
    """What a revision that names this set serves: `remora.adapters.aliases.read_aliases`, from outside."""
    current = AliasSet.decode(share.read(ALIASES), str(ALIASES))
    path = alias_set_path(set_id) if set_id else None
    named = AliasSet.decode(share.read(path), str(path)) if path else AliasSet()
    return named if named.generation > current.generation else current


def wanted_aliases(served: AliasSet, digests: Mapping[str, Digest]) -> AliasSet:
    """The set in which exactly these names exist: the one that is served, or the next generation of it."""
    return served if served.digests == dict(digests) else served.serving(digests)


def set_id(aliases: AliasSet) -> str:
    """The id of a set: equal sets of one generation have one id."""
    return hashlib.sha256(aliases.encode()).hexdigest()[:_ID_CHARACTERS]


def write_set(share: Share, aliases: AliasSet) -> None:
    """Put a set beside `aliases.json`, for a candidate to serve."""
    path = alias_set_path(set_id(aliases))
    if share.read(path) != aliases.encode():
        share.replace(path, aliases.encode())


def commit_set(share: Share, aliases: AliasSet) -> None:
    """Make `aliases.json` say what the revision that has the traffic serves. Something newer stays."""
    change_aliases(share, lambda current: aliases if aliases.generation > current.generation else current)
