"""A project's models as a release. Models that `remora.toml` names and the folder lacks are on the share.

A share has the same paths as the project that trained on it. Reads listings and headers, never weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from remora.adapters.adapter import Adapter
from remora.adapters.hash_cache import HashCache
from remora.adapters.model_set import ModelSet, base_of_project, models_of_project
from remora.adapters.peft.base_shape import BaseShape
from remora.adapters.peft.inspect import inspect_adapter, inspect_outline
from remora.azure.profile import remora_home
from remora.azure.share.files import Share
from remora.azure.share.outline import Outline, outlined
from remora.cli.models.engine_trial import try_base, try_models
from remora.errors import ProjectIncomplete
from remora.project.settings import Settings
from remora.rollout.share.contents import Contents, release_contents
from remora.rollout.share.in_place import ModelsInPlace


@dataclass(frozen=True, slots=True)
class FoundOnShare:
    """The project's models on the share: `folders` by role, which is "base" or an adapter's alias.

    `unlisted` are adapter folders on the share that `remora.toml` does not name: they are not served.
    """

    share: str
    folders: Mapping[str, PurePosixPath]
    unlisted: tuple[PurePosixPath, ...]

    def lines(self) -> list[str]:
        """One line of text for each."""
        found = [f"{role}: {folder} on share {self.share!r}" for role, folder in self.folders.items()]
        return found + [
            f"{folder} on share {self.share!r} is not served; to serve it, name it under [adapters]"
            " in remora.toml"
            for folder in self.unlisted
        ]


@dataclass(frozen=True, slots=True)
class ReadProject:
    """The project's models and the release made of them. `on_share` is None if the folder has all of them."""

    models: ModelSet
    contents: Contents
    on_share: FoundOnShare | None = None


def read_project(settings: Settings, share: Callable[[], Share | None]) -> ReadProject:
    """Read the project's models. `share` is called only if a named model is not in the folder.

    Raises ProjectIncomplete if a model is in neither place, AdapterRejected if one cannot be served.
    """
    hashes = HashCache(remora_home() / "hashes.json")
    with looked_up(settings, share) as in_place:
        if in_place is None:
            models = models_of_project(settings)
            try_models(models)
            contents, on_share = release_contents(models, settings, hashes), None
        else:
            models = _models(settings, in_place.outline)
            try_base(models.base)
            contents = release_contents(models, settings, hashes, in_place)
            on_share = _found(settings, models, in_place.outline)
    hashes.save()
    return ReadProject(models, contents, on_share)


def models_here(settings: Settings) -> ModelSet | None:
    """The project's models, found fit to be served; None where some of them are not in the folder.

    Raises as `read_project`.
    """
    if any(not path.is_dir() for path in _named(settings)):
        return None
    models = models_of_project(settings)
    try_models(models)
    return models


def on_share_document(found: FoundOnShare | None) -> dict[str, Any] | None:
    """The models on the share as data; None if the share was not searched."""
    if found is None:
        return None
    return {
        "share": found.share,
        "served": {role: str(folder) for role, folder in found.folders.items()},
        "not_served": [str(folder) for folder in found.unlisted],
    }


@contextmanager
def looked_up(settings: Settings, share: Callable[[], Share | None]) -> Iterator[ModelsInPlace | None]:
    """The share's models if the project names one that is not in its folder; else None."""
    asked = share() if any(not path.is_dir() for path in _named(settings)) else None
    if asked is None:
        yield None
        return
    with outlined(asked) as outline:
        yield ModelsInPlace(outline, asked)


def base_here_or_there(settings: Settings, outline: Outline | None) -> tuple[str, BaseShape]:
    """The base model's name for clients and its shape, from the folder or from the share."""
    base = settings.model.base
    if base is not None and outline is not None:
        base = _here_or_there(settings, base, "base model", outline)
    return base_of_project(replace(settings, model=replace(settings.model, base=base)))


def _named(settings: Settings) -> list[Path]:
    base = [settings.model.base] if settings.model.base else []
    return [*base, *settings.adapters.values()]


def _models(settings: Settings, outline: Outline) -> ModelSet:
    name, shape = base_here_or_there(settings, outline)
    compares_copies = outline.place(shape.path) is None

    def inspected(alias: str, path: Path) -> Adapter:
        found = _here_or_there(settings, path, f"adapter {alias!r}", outline)
        if place := outline.place(found):
            return inspect_outline(alias, found, shape, place.stamp)
        return inspect_adapter(alias, found, shape, compares_copies=compares_copies)

    adapters = tuple(inspected(alias, path) for alias, path in sorted(settings.adapters.items()))
    return ModelSet(name, shape, adapters, settings.prompt_templates)


def _here_or_there(settings: Settings, path: Path, what: str, outline: Outline) -> Path:
    """The folder, or its outline on the share. Raises ProjectIncomplete if neither exists."""
    if path.is_dir() or not path.is_relative_to(settings.root):
        return path
    relative = PurePosixPath(path.relative_to(settings.root).as_posix())
    if relative in (*outline.models.bases, *outline.models.adapters):
        return outline.local(relative)
    raise ProjectIncomplete(
        f"{what} {relative} is neither in {settings.root} nor on share {outline.share_name!r}",
        hint="correct its path in remora.toml, or run the fine-tuning job that writes it",
    )


def _found(settings: Settings, models: ModelSet, outline: Outline) -> FoundOnShare:
    paths = {"base": models.base_path, **{adapter.name: adapter.path for adapter in models.adapters}}
    folders = {role: place.folder for role, path in paths.items() if (place := outline.place(path))}
    named = {
        path.relative_to(settings.root).as_posix()
        for path in settings.adapters.values()
        if path.is_relative_to(settings.root)
    }
    unlisted = tuple(folder for folder in outline.models.adapters if str(folder) not in named)
    return FoundOnShare(outline.share_name, folders, unlisted)
