"""The aliases of a candidate: written beside `aliases.json`, and copied to it only when the candidate serves.

A set is a separate document, `.remora/alias-sets/<id>.json`, which never changes. The revision names it
(REMORA_ADAPTERS) and serves it while `aliases.json` has an older generation. So a candidate can be checked
while the revision with the traffic serves the same adapters as before. Moves no traffic.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from remora.adapters.adapter import Digest
from remora.adapters.aliases import AliasSet
from remora.adapters.in_place import settled
from remora.adapters.store import ALIASES, alias_set_path
from remora.azure.share.files import Share
from remora.rollout.share.in_place import find_contents
from remora.rollout.share.sync import change_aliases

_ID_CHARACTERS = 12


def served_aliases(share: Share, set_id: str) -> AliasSet:
    """The aliases that a revision with this set serves; it uses `remora.adapters.aliases.read_aliases`."""
    current = AliasSet.decode(share.read(ALIASES), str(ALIASES))
    path = alias_set_path(set_id) if set_id else None
    named = AliasSet.decode(share.read(path), str(path)) if path else AliasSet()
    if named.generation <= current.generation:
        return current
    return settled(named, lambda stamp: find_contents(share, stamp))


def wanted_aliases(served: AliasSet, digests: Mapping[str, Digest]) -> AliasSet:
    """The set with exactly these names: the served one, or its next generation."""
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
    """Write the aliases of the revision with the traffic to `aliases.json`, unless that is newer."""
    change_aliases(share, lambda current: aliases if aliases.generation > current.generation else current)
