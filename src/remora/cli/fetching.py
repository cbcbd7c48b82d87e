"""Base model and adapters from a project's share, where a fine-tuning job left them, into its folder."""

from __future__ import annotations

from pathlib import Path

from remora.azure.files import Share
from remora.azure.share_models import find_share_models
from remora.cli.context import connect, read_settings
from remora.cli.output import Output
from remora.errors import DeploymentNotFound, ProjectIncomplete
from remora.project.config import (
    FINETUNING_FILE,
    INFERENCE_FILE,
    load_finetuning_config,
    load_inference_config,
)


def fetch_models(folder: Path, out: Output) -> int:
    """Copy what is not here yet; returns the number of files.

    Raises DeploymentNotFound (no file names a share, or there is none) or ProjectIncomplete (nothing on it).
    """
    file, subscription, group, account, name = _place(folder)
    clients = connect(read_settings(folder), out, subscription)
    share = Share(clients, group, account, name)
    with out.step(f"looking for models on share {name!r}") as say:
        found = find_share_models(share)
        say(f"{len(found.bases)} base models and {len(found.adapters)} adapters are on share {name!r}")
    if not found.adapters:
        raise ProjectIncomplete(
            f"{folder / file}: FILE_SHARE_NAME is {name!r}, and that share of {account!r} has no adapter"
            " below models/",
            hint="run the fine-tuning job until it has written models/**/adapter, or correct FILE_SHARE_NAME;"
            f" then run: remora import {folder} --fetch",
            param="FILE_SHARE_NAME",
        )
    missing = {path: size for path, size in found.files.items() if not _is_here(folder / path, size)}
    total = f"{len(missing)} files, {sum(missing.values()):,} bytes"
    with out.step(f"copying {total}") as say:
        for count, path in enumerate(missing, start=1):
            say.now(f"{count} of {len(missing)}: {path}")
            share.download(path, folder / path)
        say(f"copied {total}")
    return len(missing)


def _place(folder: Path) -> tuple[Path, str, str, str, str]:
    """The file that names a share, and with it subscription, group, account and share."""
    for file, config in (
        (INFERENCE_FILE, load_inference_config(folder)),
        (FINETUNING_FILE, load_finetuning_config(folder)),
    ):
        if config.resource_group and config.storage_account and config.file_share:
            subscription = config.subscription_id or ""
            return file, subscription, config.resource_group, config.storage_account, config.file_share
    raise DeploymentNotFound(
        f"{folder / FINETUNING_FILE} lacks RESOURCE_GROUP_NAME, STORAGE_ACCOUNT_NAME or FILE_SHARE_NAME",
        hint=f"fill them in, or put the models into the folder and run: remora import {folder}",
        param="FILE_SHARE_NAME",
    )


def _is_here(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size
