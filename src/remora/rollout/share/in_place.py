"""A project's models that are on its share, as a rollout sees them: what is known of them, and what is not.

Owns the step from a stamp to a digest on this side: a replica reads the weights
(`adapters.in_place_reading`), and this module only reads its results. Reads no weights.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from remora.adapters.adapter import Digest
from remora.adapters.aliases import AliasSet
from remora.adapters.in_place import Contents, Place, contents_path, decode_contents, settled
from remora.adapters.model_set import ModelSet
from remora.adapters.store import MANIFEST, adapter_folder
from remora.azure.share.files import Share
from remora.azure.share.outline import Outline
from remora.errors import VerificationFailed
from remora.rollout.share.plan import Recorded, decode_manifest, encode_manifest


@dataclass(frozen=True, slots=True)
class ModelsInPlace:
    """The models of a share, by the paths of its outline."""

    outline: Outline
    share: Share

    def places(self, models: ModelSet) -> dict[Path, Place]:
        """The project's models that are on the share, by path."""
        found = {path: self.outline.place(path) for path in (models.base_path, *_paths(models))}
        return {path: place for path, place in found.items() if place is not None}

    def read_already(self, aliases: Mapping[str, Digest]) -> dict[str, Digest]:
        """The digests, by name, of adapters whose stamp a replica has read and whose copy is complete."""
        found = {}
        for name, stamp in aliases.items():
            contents = find_contents(self.share, stamp)
            if contents is not None and _is_whole(self.share, name, contents):
                found[name] = contents.digest
        return found


def find_contents(share: Share, stamp: Digest) -> Contents | None:
    """What a replica read under a stamp; None if it is not a stamp, or no replica has read it yet."""
    path = contents_path(stamp)
    data = share.read(path)
    return None if data is None else decode_contents(data, str(path))


def settle_aliases(
    share: Share,
    aliases: AliasSet,
    unread: Collection[Digest],
    problems: Callable[[], Mapping[str, str]] = dict,
) -> AliasSet:
    """The set with the digests that a ready replica has computed; also adds them to the manifest.

    Raises VerificationFailed if the replica could not read one of them; `problems` says why, by name. The
    caller holds the lock.
    """
    if not unread:
        return aliases
    read = {stamp: find_contents(share, stamp) for stamp in unread}
    for name, stamp in aliases.digests.items():
        if stamp in unread and read[stamp] is None:
            reason = problems().get(name, "it gives no reason")
            raise VerificationFailed(
                f"adapter {name!r}, which is on the share, cannot be served by the new revision: {reason}",
                hint="run the fine-tuning job until the adapter is complete, then: remora deploy",
            )
    after = settled(aliases, read.get)
    manifest = dict(decode_manifest(share.read(MANIFEST)))
    for name, stamp in aliases.digests.items():
        if contents := read.get(stamp):
            folder = adapter_folder(name, contents.digest)
            for file, each in contents.files.items():
                manifest[folder / file] = Recorded(each.sha256, each.size_bytes)
    share.replace(MANIFEST, encode_manifest(manifest))
    return after


def _paths(models: ModelSet) -> list[Path]:
    return [adapter.path for adapter in models.adapters]


def _is_whole(share: Share, name: str, contents: Contents) -> bool:
    folder = adapter_folder(name, contents.digest)
    sizes = share.sizes(folder)
    return all(sizes.get(folder / file) == each.size_bytes for file, each in contents.files.items())
