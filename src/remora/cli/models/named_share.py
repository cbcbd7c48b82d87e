"""The share that a project's files name: the endpoint's, else the fine-tuning step's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from remora.azure.provisioning.groups import list_subscriptions
from remora.azure.share.files import Share
from remora.cli.context import connect
from remora.cli.models.base_option import read_settings
from remora.cli.output.console import Output
from remora.project.toolkit.config import (
    FINETUNING_FILE,
    INFERENCE_FILE,
    load_finetuning_config,
    load_inference_config,
)


@dataclass(frozen=True, slots=True)
class NamedShare:
    """Where a share is, and the project file that names it."""

    file: Path
    subscription: str
    group: str
    account: str
    name: str


def named_share(folder: Path) -> NamedShare | None:
    """The share named by the first of the two files that names one; None if neither does."""
    for file, config in (
        (INFERENCE_FILE, load_inference_config(folder)),
        (FINETUNING_FILE, load_finetuning_config(folder)),
    ):
        if config.resource_group and config.storage_account and config.file_share:
            return NamedShare(
                file,
                config.subscription_id or "",
                config.resource_group,
                config.storage_account,
                config.file_share,
            )
    return None


def open_named(named: NamedShare, folder: Path, out: Output, *, start: bool = True) -> Share:
    """A client of the share; a share that does not exist raises at its first use.

    Raises CloudUnavailable if the local cloud is not running and `start` is false.
    """
    settings = read_settings(folder)
    clients = connect(settings, out, named.subscription, start=start)
    if clients.profile.rehearses:  # its only subscription stands for the one in the files
        known = [subscription_id for subscription_id, _ in list_subscriptions(clients)]
        if named.subscription not in known:
            clients = clients.for_subscription(known[0])
    return Share(clients, named.group, named.account, named.name, access=settings.share_access)
