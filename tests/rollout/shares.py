"""Shares to test with, in a running local cloud."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from tests.azure.local_cloud import LocalCloud

from remora.azure.profile import Clients
from remora.azure.share.files import Share


def make_account(clients: Clients, group: str, account: str) -> None:
    """A storage account for `new_share`."""
    body = {"location": "westeurope", "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}
    clients.storage.storage_accounts.begin_create(group, account, body).result()


def new_share(clients: Clients, group: str, account: str) -> Share:
    """An empty share with a name of its own."""
    name = f"files{uuid4().hex[:8]}"
    clients.storage.file_shares.create(group, account, name, {})
    return Share(clients, group, account, name)


def folder_of(cloud: LocalCloud, share: Share) -> Path:
    """The share as a container sees it."""
    return cloud.home / "cloud" / "shares" / share.account / share.name
