"""The models of a release on a mounted share, as one replica sees them. Reads only; changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from remora.adapters.adapter import Adapter, Digest, short
from remora.adapters.aliases import AliasSet, read_aliases
from remora.adapters.base_shape import BaseShape, read_base
from remora.adapters.inspect import inspect_adapter
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
        return read_aliases(self.share, self.alias_set)

    def adapter(self, name: str, digest: Digest) -> Adapter:
        """An adapter, checked anew: the share is writable for others. Raises AdapterRejected."""
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
    shape = read_base(share / model_folder(release.base_digest))
    # By whose name an adapter was trained was judged before it came here, by who may know better.
    return SharedModels(
        share=share,
        base_name=release.base_name,
        base=replace(shape, names=()),
        serve=release.serve,
        prompt_templates=release.prompt_templates,
        alias_set=alias_set,
    )
