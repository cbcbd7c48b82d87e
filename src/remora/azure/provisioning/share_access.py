"""How the share is reached: mounted with the storage account's key, or over REST as an identity.

Finds out which of them the account, or a policy for a new one, allows. Changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from remora.azure.failures import explained
from remora.azure.profile import Clients
from remora.azure.provisioning.template import Wanted
from remora.errors import DeploymentNotFound, Refused, RemoraError
from remora.project.toolkit.commands import Program, program_of

PARAMETER = "shareAccess"
KEY, IDENTITY = "key", "identity"
_FORBIDS = "the storage account forbids shared keys (allowSharedKeyAccess is false)"
_FIELD = "allowsharedkeyaccess"
_OURS = re.compile(r"aistorage[a-z0-9]{5}")  # the template's default name
_POLICY_VERSION = "2022-03-01"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ShareAccess:
    """The way, and why it is not the usual one. `parameters` are what the template needs for it."""

    by_identity: bool
    reason: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """What the plan says of it; "" for a mounted share."""
        return f"by managed identity, since {self.reason}" if self.by_identity else ""


def choose_access(
    clients: Clients, wanted: Wanted, *, account: str | None, exists: bool, setting: str, origin: str
) -> ShareAccess:
    """The way for a deployment to a group, which may not exist yet.

    `account` is the storage account's name if it is known; `setting` is auto, key or identity, from `origin`.
    Raises Refused if the project cannot go that way.
    """
    given = wanted.parameters.get(PARAMETER)
    if given is not None:
        return ShareAccess(given == IDENTITY, f"{PARAMETER} in inference.parameters.json says so")
    if setting == KEY:
        return ShareAccess(by_identity=False)
    allows = _account_allows(clients, wanted.group, account) if exists else None
    if setting == IDENTITY:
        reason = f"azure.share_access is {IDENTITY} ({origin})"
    elif allows is False:
        reason = _FORBIDS
    elif allows is None and _policy_forbids(clients, wanted, exists=exists):
        reason = "a policy forbids the shared keys of a new storage account"
    else:
        return ShareAccess(by_identity=False)
    _check_possible(wanted, reason)
    # An account that exists and allows keys may be used with them by others.
    kept: Json = {"forbidSharedKeys": False} if allows else {}
    return ShareAccess(by_identity=True, reason=reason, parameters={PARAMETER: IDENTITY, **kept})


def _check_possible(wanted: Wanted, reason: str) -> None:
    if program_of(wanted.parameters.get("defaultCommands") or ()) is not Program.REMORA:
        raise Refused(
            f"{reason}, so a share cannot be mounted; only Remora's own program reads it without a mount",
            hint="switch to it: remora import --write; or allow keys: az storage account update"
            f" --allow-shared-key-access true --resource-group {wanted.group} --name ACCOUNT",
        )
    if PARAMETER not in wanted.template.get("parameters", {}):
        raise Refused(
            f"{reason}, and infra/provision/inference.bicep has no parameter {PARAMETER} for the other way",
            hint="take over Remora's current template: remora init --force; or allow keys: az storage account"
            f" update --allow-shared-key-access true --resource-group {wanted.group} --name ACCOUNT",
        )


def _account_allows(clients: Clients, group: str, account: str | None) -> bool | None:
    """Whether an account allows its keys; None if there is no such account yet."""
    operations = clients.storage.storage_accounts
    try:
        if account is not None:
            with explained(f"reading storage account {account!r}"):
                found = [operations.get_properties(group, account).as_dict()]
        else:
            with explained(f"listing the storage accounts in {group!r}"):
                listed = [item.as_dict() for item in operations.list_by_resource_group(group)]
            found = [item for item in listed if _OURS.fullmatch(str(item.get("name")))]
    except DeploymentNotFound:
        return None
    if not found:
        return None
    return all(item["properties"].get("allowSharedKeyAccess") is not False for item in found)


def _policy_forbids(clients: Clients, wanted: Wanted, *, exists: bool) -> bool:
    """Whether a policy would refuse a new account that allows its keys; False if that cannot be asked.

    https://learn.microsoft.com/rest/api/policyinsights/policy-restrictions
    """
    subscription = f"/subscriptions/{clients.subscription_id}"
    scope = f"{subscription}/resourceGroups/{wanted.group}" if exists else subscription
    content = {
        "type": "Microsoft.Storage/storageAccounts",
        "location": wanted.location,
        "properties": {"allowSharedKeyAccess": True},
    }
    path = f"{scope}/providers/Microsoft.PolicyInsights/checkPolicyRestrictions"
    body: Json = {"resourceDetails": {"resourceContent": content, "apiVersion": "2023-01-01"}}
    if exists:
        body["pendingFields"] = []
    try:
        with explained("asking which policies apply to a new storage account"):
            answer = clients.request("POST", path, {"api-version": _POLICY_VERSION}, body)
    except RemoraError:
        return False  # without the right to ask, the deployment itself tells
    fields = [item for item in answer.get("fieldRestrictions") or () if _is_of_keys(item.get("field"))]
    restricted = any(_is_off(each) for item in fields for each in item.get("restrictions") or ())
    return restricted or any(
        map(_denies, (answer.get("contentEvaluationResult") or {}).get("policyEvaluations") or ())
    )


def _is_of_keys(name: object) -> bool:
    return str(name).lower().rpartition("/")[2].rpartition(".")[2] == _FIELD


def _is_off(restriction: Json) -> bool:
    """Whether the field must be false, or may not be true."""
    values = [str(value).lower() for value in restriction.get("values") or ()]
    result = str(restriction.get("result")).lower()
    return (result == "required" and values == ["false"]) or (result == "deny" and "true" in values)


def _denies(evaluation: Json) -> bool:
    """Whether a policy finds the account wrong because of this field, and would refuse it."""
    info, details = evaluation.get("effectDetails") or {}, evaluation.get("evaluationDetails") or {}
    wrong = str(evaluation.get("evaluationResult")).lower() == "noncompliant"
    effect = str(info.get("policyEffect") or "deny").lower()
    about = (item.get("path") or item.get("expression") for item in details.get("evaluatedExpressions") or ())
    return wrong and effect in ("deny", "modify") and any(map(_is_of_keys, about))
