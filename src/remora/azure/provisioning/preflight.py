"""Finds the causes that would make a deployment fail before anything changes. Refuses with the reason.

Checks providers, regions, and storage accounts that cannot be mounted; `gpus.py` checks GPUs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from remora.azure.failures import explained
from remora.azure.profile import Clients
from remora.azure.provisioning.existing import resource_name
from remora.azure.provisioning.share_access import IDENTITY, PARAMETER
from remora.azure.provisioning.template import Wanted, resource_types
from remora.errors import DeploymentNotFound, ProvisioningFailed, Refused, RemoraError

REGISTRATION_SECONDS = 600.0
_WITHOUT_KEYS = frozenset({"Microsoft.ManagedIdentity", "Microsoft.Authorization"})
"""Providers of what the template creates only where the share is not mounted."""

Json = dict[str, Any]


def missing_providers(clients: Clients, wanted: Wanted) -> list[str]:
    """The providers of the template that the subscription has not registered.

    Raises Refused if a provider does not offer a resource of the template in the region.
    """
    missing = []
    for namespace, kinds in resource_types(wanted.template).items():
        if namespace in _WITHOUT_KEYS and wanted.parameters.get(PARAMETER) != IDENTITY:
            continue
        with explained(f"reading provider {namespace}"):
            provider: Json = clients.resources.providers.get(namespace).as_dict()
        _check_region(namespace, kinds, provider, wanted.location)
        if str(provider.get("registrationState")).lower() != "registered":
            missing.append(namespace)
    return missing


def register_provider(clients: Clients, namespace: str, progress: Callable[[str], None]) -> None:
    """Register a provider for the subscription and wait, on Azure for a minute or two."""
    with explained(f"registering provider {namespace}"):
        clients.resources.providers.register(namespace)
    deadline = time.monotonic() + REGISTRATION_SECONDS
    while True:
        with explained(f"reading provider {namespace}"):
            state = str(clients.resources.providers.get(namespace).registration_state)
        if state.lower() == "registered":
            return
        if time.monotonic() > deadline:
            raise ProvisioningFailed(
                f"provider {namespace} is still {state} after {REGISTRATION_SECONDS:.0f} s",
                hint=f"see: az provider show --namespace {namespace}",
            )
        progress(f"{namespace}: {state}")
        time.sleep(clients.profile.poll_seconds)


def check_storage(clients: Clients, wanted: Wanted) -> None:
    """Check that the storage accounts can be mounted, or created with their names. Raises Refused."""
    for name in _storage_accounts(wanted):
        try:
            with explained(f"reading storage account {name!r}"):
                account: Json = clients.storage.storage_accounts.get_properties(wanted.group, name).as_dict()
        except DeploymentNotFound:
            _check_name(clients, name)
            continue
        forbids = account["properties"].get("allowSharedKeyAccess") is False
        if forbids and wanted.parameters.get(PARAMETER) != IDENTITY:
            raise Refused(
                f"storage account {name!r} forbids access with its key (allowSharedKeyAccess is false)",
                hint="Container Apps can mount a share only with the key: go without it"
                ' (azure.share_access = "auto"), allow it, or name another account in storageAccountName',
            )


def _check_region(namespace: str, kinds: set[str], provider: Json, location: str) -> None:
    for offered in provider.get("resourceTypes") or ():
        regions = {_plain(region) for region in offered.get("locations") or ()}
        if offered.get("resourceType") in kinds and regions and _plain(location) not in regions:
            raise Refused(
                f"region {location!r} has no {namespace}/{offered['resourceType']}",
                hint="choose another with --location, or `location` in inference.parameters.json",
            )


def _plain(region: str) -> str:
    """Normalize a region: `East US` and `eastus` are the same."""
    return region.replace(" ", "").lower()


def _storage_accounts(wanted: Wanted) -> list[str]:
    named = [name for kind, name in map(resource_name, wanted.resource_ids) if kind == "storageaccounts"]
    given = wanted.parameters.get("storageAccountName")
    return named or ([str(given)] if given else [])


def _check_name(clients: Clients, name: str) -> None:
    with explained(f"checking whether storage account name {name!r} is free"):
        body = {"name": name, "type": "Microsoft.Storage/storageAccounts"}
        answer: Json = clients.storage.storage_accounts.check_name_availability(body).as_dict()
    if answer.get("nameAvailable"):
        return
    group = _group_of(clients, name)
    where = f" (it is in resource group {group!r} of this subscription)" if group else ""
    raise Refused(
        f"storage account {name!r} cannot be created: {answer.get('message') or answer.get('reason')}{where}",
        hint="name another in storageAccountName of inference.parameters.json"
        + (f", or provision there: --resource-group {group}" if group else ""),
        param="storageAccountName",
    )


def _group_of(clients: Clients, name: str) -> str | None:
    """The resource group of an account elsewhere in this subscription; None if it cannot list them."""
    try:
        with explained("listing storage accounts"):
            ids = [str(account.id) for account in clients.storage.storage_accounts.list()]
    except RemoraError:
        return None
    found = (parts for parts in (identity.split("/") for identity in ids) if parts[-1] == name)
    return next((parts[4] for parts in found if len(parts) > 4), None)
