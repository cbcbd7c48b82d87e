"""Copies base model and adapters from a project's share, where a fine-tuning job left them, to its folder."""

from __future__ import annotations

from pathlib import Path

from remora.azure.share.models import find_share_models
from remora.cli.models.named_share import NamedShare, named_share, open_named
from remora.cli.output.console import Output
from remora.errors import DeploymentNotFound, ProjectIncomplete
from remora.project.toolkit.config import FINETUNING_FILE


def fetch_models(folder: Path, out: Output) -> int:
    """Copy the files that the folder does not have yet; returns their number.

    Raises DeploymentNotFound (no share is named, or it does not exist) or ProjectIncomplete (no models).
    """
    named = _share_of(folder)
    share = open_named(named, folder, out)
    with out.step(f"looking for models on share {share.name!r}") as say:
        found = find_share_models(share)
        say(f"{len(found.bases)} base models and {len(found.adapters)} adapters are on share {share.name!r}")
    if not found.adapters:
        raise ProjectIncomplete(
            f"{folder / named.file}: FILE_SHARE_NAME is {named.name!r}, but that share of {named.account!r}"
            " has no adapter below models/",
            hint="run the fine-tuning job until it has written models/**/adapter, or correct FILE_SHARE_NAME;"
            " then run: remora import --fetch",
            param="FILE_SHARE_NAME",
        )
    missing = {
        path: each.size_bytes
        for path, each in found.files.items()
        if not _is_here(folder / path, each.size_bytes)
    }
    total = f"{len(missing)} files, {sum(missing.values()):,} bytes"
    with out.step(f"copying {total}") as say:
        for count, path in enumerate(missing, start=1):
            say.now(f"{count} of {len(missing)}: {path}")
            share.download(path, folder / path)
        say(f"copied {total}")
    return len(missing)


def _share_of(folder: Path) -> NamedShare:
    named = named_share(folder)
    if named is not None:
        return named
    raise DeploymentNotFound(
        f"{folder / FINETUNING_FILE} lacks RESOURCE_GROUP_NAME, STORAGE_ACCOUNT_NAME or FILE_SHARE_NAME",
        hint="fill them in, or put the models into the folder and run: remora import",
        param="FILE_SHARE_NAME",
    )


def _is_here(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size
