"""The models of a release on a mounted share, as one replica sees them. Changes nothing that is served."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from remora.adapters.adapter import Adapter, Digest, short
from remora.adapters.aliases import AliasSet, read_aliases
from remora.adapters.in_place import settled
from remora.adapters.in_place_reading import bring_adapter, check_base, find_contents
from remora.adapters.peft.base_shape import BaseShape, read_base
from remora.adapters.peft.inspect import inspect_adapter
from remora.adapters.store import adapter_folder, model_folder, read_release
from remora.errors import AdapterRejected


@dataclass(frozen=True, slots=True)
class SharedModels:
    """A base model on the share, and the aliases that a replica follows.

    `alias_set` is the id of the aliases that the revision was made with, "" where it names none.
    """

    share: Path
    base_name: str
    base: BaseShape
    serve: Mapping[str, str | int]
    prompt_templates: Mapping[str, str]
    alias_set: str = ""

    def aliases(self) -> AliasSet:
        """What is to be served now. Raises InvalidFile or OSError."""

        def settle(aliases: AliasSet) -> AliasSet:
            return settled(aliases, lambda stamp: find_contents(self.share, stamp))

        return read_aliases(self.share, self.alias_set, settle)

    def adapter(self, name: str, digest: Digest) -> Adapter:
        """An adapter, checked again, because others can write to the share. Raises AdapterRejected.

        One that lies elsewhere on the share is read now, unless a replica has done so before.
        """
        digest = bring_adapter(self.share, name, digest)
        folder = self.share / adapter_folder(name, digest)
        adapter = inspect_adapter(name, folder, self.base)
        if adapter.digest != digest:
            raise AdapterRejected(
                f"the folder of {name}@{short(digest)} holds {short(adapter.digest)}: it was damaged,"
                " or put there by another version of Remora",
                hint=f"push the adapter again: remora adapters push {name} PATH",
            )
        return adapter


def open_share(share: Path, release_id: str, alias_set: str = "") -> SharedModels:
    """The models of a release. Raises InvalidFile, ProjectIncomplete or Refused."""
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
    )
