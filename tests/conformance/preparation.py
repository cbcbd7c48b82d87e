"""What was there before a recording began: resource groups, environments that many recordings share,
storage accounts."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from tests.conformance.files import Account
from tests.conformance.recordings import Exchange, Scenario
from tests.emulator.arm.conftest import RunningCloud

GROUP: Final = re.compile(r"/resourcegroups/([\w.()-]+)", re.IGNORECASE)
WRITABLE: Final = ("appLogsConfiguration", "vnetConfiguration", "workloadProfiles", "zoneRedundant")
ACCOUNT: Final = re.compile(r"/storageaccounts/([a-z0-9]+)", re.IGNORECASE)
DEFAULT_LOCATION: Final = "westus"
ACCOUNTS_GROUP: Final = "accounts"


def prepare(cloud: RunningCloud, scenario: Scenario) -> dict[str, Account]:
    """Create what the scenario uses and never creates. The answer is its storage accounts, by name."""
    with cloud.http() as http:
        for name, group in _groups(scenario).items():
            http.put(f"{cloud.groups_path}/{name}?api-version=2022-09-01", json=group).raise_for_status()
        for path, body in _environments(scenario).items():
            url = path.replace(path.split("/")[2], cloud.connection.subscription_id)
            http.put(f"{url}?api-version=2024-03-01", json=body).raise_for_status()
        return {name: _account(cloud, scenario, name, group) for name, group in _accounts(scenario).items()}


def _groups(scenario: Scenario) -> dict[str, dict[str, Any]]:
    """Every group that is named, as the recording has it."""
    groups: dict[str, dict[str, Any]] = {}
    made = _deployed_groups(scenario)
    for exchange in scenario.exchanges:
        path = exchange.url.path.lower()
        lists_others = path.endswith(("/resourcegroups", "/roleassignments"))
        answered = exchange.answer_body if exchange.status < 300 and not lists_others else None
        text = " ".join((exchange.url.path, json.dumps(exchange.body), json.dumps(answered)))
        for name in GROUP.findall(text):
            groups.setdefault(name, {"location": DEFAULT_LOCATION})
        if _is_group(exchange) and exchange.status == 200:
            shown = exchange.answer_body
            kept = {key: shown[key] for key in ("location", "tags") if key in shown}
            groups[exchange.url.path.rsplit("/", 1)[1]] = kept
        if _is_group(exchange, "PUT"):
            made.add(exchange.url.path.rsplit("/", 1)[1])
    return {name: group for name, group in groups.items() if name not in made}


def _deployed_groups(scenario: Scenario) -> set[str]:
    """The groups that a deployment to the subscription creates, or a stack of it."""
    return {
        item["id"].rpartition("/")[2]
        for exchange in scenario.exchanges
        if isinstance(exchange.answer_body, dict)
        for made in ("outputResources", "resources")
        for item in (exchange.answer_body.get("properties") or {}).get(made) or ()
        if item["id"].count("/") == 4
    }


def _is_group(exchange: Exchange, method: str = "GET") -> bool:
    path = exchange.url.path.lower()
    return exchange.method == method and path.count("/") == 4 and "/resourcegroups/" in path


def _accounts(scenario: Scenario) -> dict[str, str]:
    """Accounts that are used and not created, with their group."""
    made = {_made_account(item) for item in scenario.exchanges}
    found: dict[str, str] = {}
    for exchange in scenario.exchanges:
        group = GROUP.search(exchange.url.path)
        for name in _account_names(exchange):
            found.setdefault(name, group.group(1) if group else ACCOUNTS_GROUP)
    return {name: group for name, group in found.items() if name not in made}


def _made_account(exchange: Exchange) -> str:
    *_, kind, name = exchange.url.path.split("/")
    return name if exchange.method == "PUT" and kind.lower() == "storageaccounts" else ""


def _account_names(exchange: Exchange) -> list[str]:
    if exchange.to_files:
        return [exchange.url.netloc.split(".")[0]] if exchange.method != "PUT" else []
    return ACCOUNT.findall(exchange.url.path)


def _account(cloud: RunningCloud, scenario: Scenario, name: str, group: str) -> Account:
    cloud.resources().resource_groups.create_or_update(group, {"location": DEFAULT_LOCATION})
    body: dict[str, Any] = {
        "location": DEFAULT_LOCATION,
        "sku": {"name": "Standard_LRS"},
        "kind": "StorageV2",
    }
    for item in scenario.exchanges:
        if item.method == "GET" and item.to_arm and item.url.path.endswith(f"/storageAccounts/{name}"):
            chosen = {"minimumTlsVersion": item.answer_body["properties"]["minimumTlsVersion"]}
            body = {key: item.answer_body[key] for key in ("location", "sku", "kind")} | {
                "properties": chosen
            }
    cloud.storage().storage_accounts.begin_create(group, name, body).result()
    path = f"{cloud.groups_path}/{group}/providers/Microsoft.Storage/storageAccounts/{name}/listKeys"
    with cloud.http() as http:
        keys = http.post(f"{path}?api-version=2023-01-01").raise_for_status().json()["keys"]
    return Account(cloud.connection.files_url, name, keys[0]["value"])


def _environments(scenario: Scenario) -> dict[str, dict[str, Any]]:
    made = {item.url.path for item in scenario.exchanges if item.method == "PUT"}
    found: dict[str, dict[str, Any]] = {}
    for exchange in scenario.exchanges:
        path = exchange.url.path
        is_environment = path.split("/")[-2].lower() == "managedenvironments"
        if exchange.method == "GET" and exchange.status == 200 and is_environment and path not in made:
            properties = exchange.answer_body["properties"]
            kept = {name: properties[name] for name in WRITABLE}
            found.setdefault(path, {"location": exchange.answer_body["location"], "properties": kept})
    return found
