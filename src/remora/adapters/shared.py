"""The models of a release on a mounted share, as one replica sees them. Changes nothing that is served."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from remora.adapters.adapter import Adapter, Digest, short
from remora.adapters.aliases import AliasSet, read_aliases
from remora.adapters.following import INTERVAL_SECONDS, Following
from remora.adapters.in_place import settled
from remora.adapters.in_place_reading import bring_adapter, check_base, find_contents
from remora.adapters.mirror.mirror import Mirror
from remora.adapters.peft.base_shape import BaseShape, read_base
from remora.adapters.peft.inspect import inspect_adapter
from remora.adapters.store import adapter_folder, model_folder, read_release
from remora.errors import AdapterRejected

LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class SharedModels:
    """A base model on the share, and the aliases that a replica follows.

    `alias_set` is the id of the aliases that the revision was made with, "" where it names none. `following`
    brings what changes on a share that is not mounted.
    """

    share: Path
    base_name: str
    base: BaseShape
    serve: Mapping[str, str | int]
    prompt_templates: Mapping[str, str]
    alias_set: str = ""
    following: Following | None = None

    @property
    def look_seconds(self) -> float:
        """How often to look at the aliases: less often where every look is a request over the network."""
        return LOOK_SECONDS if self.following is None else INTERVAL_SECONDS

    def aliases(self) -> AliasSet:
        """What is to be served now. Raises InvalidFile, CloudUnavailable or OSError."""
        if self.following is not None:
            self.following.refresh()

        def settle(aliases: AliasSet) -> AliasSet:
            return settled(aliases, lambda stamp: find_contents(self.share, stamp))

        found = read_aliases(self.share, self.alias_set, settle)
        if self.following is not None:
            self.following.keep(found)
        return found

    def adapter(self, name: str, digest: Digest) -> Adapter:
        """An adapter, checked again, because others can write to the share. Raises AdapterRejected.

        One that lies elsewhere on the share is read now, unless a replica has done so before.
        """
        if self.following is not None:
            self.following.bring(name, digest)
        digest = bring_adapter(self.share, name, digest)
        folder = self.share / adapter_folder(name, digest)
        try:
            adapter = inspect_adapter(name, folder, self.base)
        except AdapterRejected:
            self._forget(name, digest)
            raise
        if adapter.digest != digest:
            self._forget(name, digest)
            raise AdapterRejected(
                f"the folder of {name}@{short(digest)} holds {short(adapter.digest)}: it was damaged,"
                " or put there by another version of Remora",
                hint=f"push the adapter again: remora adapters push {name} PATH",
            )
        return adapter

    def _forget(self, name: str, digest: Digest) -> None:
        """A pulled adapter that is wrong is pulled again at the next attempt: it may be repaired by then."""
        if self.following is not None:
            self.following.forget(name, digest)


def open_share(
    share: Path, release_id: str, alias_set: str = "", mirror: Mirror | None = None
) -> SharedModels:
    """The models of a release; `mirror` is what `share` is if it is not mounted.

    Raises InvalidFile, ProjectIncomplete or Refused.
    """
    release = read_release(share, release_id)
    folder = share / model_folder(release.base_digest)
    if release.base_in_place:
        folder = check_base(share, release.base_digest)
    names = (release.base_name, *release.also_known_as)
    shape = read_base(folder, names=names, engine=str(release.serve.get("engine", "torch")))
    return SharedModels(
        share=share,
        base_name=release.base_name,
        base=shape,
        serve=release.serve,
        prompt_templates=release.prompt_templates,
        alias_set=alias_set,
        following=Following(mirror, alias_set) if mirror is not None else None,
    )
