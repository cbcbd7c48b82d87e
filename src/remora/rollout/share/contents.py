"""The contents of a release: its files on the share, its ids and its aliases. Uploads nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from remora.adapters.adapter import Adapter, Digest
from remora.adapters.digest import folder_digest
from remora.adapters.hash_cache import HashCache
from remora.adapters.in_place import Place, place_path
from remora.adapters.model_set import ModelSet
from remora.adapters.peft.inspect import ADAPTER_FILES
from remora.adapters.store import (
    RELEASE_FILE,
    Release,
    adapter_folder,
    model_folder,
    release_folder,
)
from remora.project.settings import Settings
from remora.project.workspace import read_base_model
from remora.rollout.share.code import code_archive, requirements, start_script
from remora.rollout.share.in_place import ModelsInPlace
from remora.rollout.share.plan import SyncFile

_ID_CHARACTERS = 12


@dataclass(frozen=True, slots=True)
class Contents:
    """A release: its files, its id, and the adapters that it serves.

    `base_digest` is that of the base model, or the stamp of one that is on the share. `unread` are stamps
    of adapters there that no replica has read yet: `aliases` has them instead of digests.
    """

    files: tuple[SyncFile, ...]
    release_id: str
    base_digest: Digest
    aliases: Mapping[str, Digest]
    unread: frozenset[Digest] = frozenset()


def release_contents(
    models: ModelSet, settings: Settings, hashes: HashCache, in_place: ModelsInPlace | None = None
) -> Contents:
    """Everything that must be on the share to serve these models with these settings.

    For models that are already there (`in_place`), that is only their listing.
    """
    places = in_place.places(models) if in_place else {}
    base_place = places.get(models.base_path)
    base_files = read_base_model(models.base_path).files
    base_digest = (
        base_place.stamp if base_place else folder_digest(models.base_path, base_files, sha256=hashes.sha256)
    )
    release = Release(
        base_name=models.base_name,
        also_known_as=settings.model.also_known_as,
        base_digest=base_digest,
        serve=asdict(settings.serve),
        prompt_templates=models.prompt_templates,
        base_in_place=base_place is not None,
    )
    release_id, release_files = _release_files(release)
    files = [*release_files, *map(_listing, places.values())]
    if base_place is None:
        files += _files_of(models.base_path, base_files, model_folder(base_digest), hashes)
    for adapter in models.adapters:
        if adapter.path not in places:
            files += adapter_files(adapter, hashes)
    aliases = {adapter.name: adapter.digest for adapter in models.adapters}
    read = in_place.read_already(aliases) if in_place else {}
    return Contents(
        files=tuple(files),
        release_id=release_id,
        base_digest=base_digest,
        aliases={**aliases, **read},
        unread=frozenset(
            adapter.digest
            for adapter in models.adapters
            if adapter.path in places and adapter.name not in read
        ),
    )


def adapter_files(adapter: Adapter, hashes: HashCache) -> tuple[SyncFile, ...]:
    """The files of an adapter's folder that go to the share, with their paths there."""
    target = adapter_folder(adapter.name, adapter.digest)
    return tuple(_files_of(adapter.path, (*ADAPTER_FILES, *adapter.text_files), target, hashes))


def _release_files(release: Release) -> tuple[str, list[SyncFile]]:
    contents = {
        RELEASE_FILE: release.to_json(),
        "code.zip": code_archive(),
        "requirements.txt": requirements(),
        "start.py": start_script(),
    }
    release_id = _short_sha256(b"".join(hashlib.sha256(data).digest() for data in contents.values()))
    folder = release_folder(release_id)
    return release_id, [
        SyncFile(folder / name, len(data), hashlib.sha256(data).hexdigest(), data)
        for name, data in contents.items()
    ]


def _files_of(
    folder: Path, names: tuple[str, ...], target: PurePosixPath, hashes: HashCache
) -> list[SyncFile]:
    return [
        SyncFile(target / name, (folder / name).stat().st_size, hashes.sha256(folder / name), folder / name)
        for name in names
    ]


def _listing(place: Place) -> SyncFile:
    data = place.encode()
    return SyncFile(place_path(place.stamp), len(data), hashlib.sha256(data).hexdigest(), data)


def _short_sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_ID_CHARACTERS]
