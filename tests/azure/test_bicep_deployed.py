"""What our compiler writes means what the Bicep file says: deployed to a local cloud, and read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.azure.bicep_builders import compiled
from tests.azure.conftest import GROUP

from remora.azure.profile import Clients

MODULE = """
param account string
param names array
resource storage 'Microsoft.Storage/storageAccounts@2023-01-01' existing = {
  name: account
  resource files 'fileServices' existing = {
    name: 'default'
  }
}
resource shares 'Microsoft.Storage/storageAccounts/fileServices/shares@2023-01-01' = [for (n, i) in names: {
  parent: storage::files
  name: '${n}${i}'
  properties: { shareQuota: 10 + i }
}]
output first string = shares[0].name
output ids array = [for i in range(0, length(names)): shares[i].id]
"""
MAIN = """
param wanted bool = false
param settings object = { a: { b: 'deep' } }
var names = [for i in range(1, 2): 'n${i}']
var suffix = uniqueString(resourceGroup().id)

resource accounts 'Microsoft.Storage/storageAccounts@2023-01-01' = [for (tier, i) in ['Hot', 'Cool']: {
  name: 'loop${i}${substring(suffix, 0, 5)}'
  location: resourceGroup().location
  kind: 'StorageV2'
  sku: { name: 'Standard_LRS' }
  tags: { tier: tier, number: '${i}' }
}]

resource unwanted 'Microsoft.Storage/storageAccounts@2023-01-01' = if (wanted) {
  name: 'unwanted${suffix}'
  location: resourceGroup().location
  kind: 'StorageV2'
  sku: { name: 'Standard_LRS' }
}

resource one 'Microsoft.Storage/storageAccounts@2023-01-01' = {
  name: 'one${suffix}'
  location: resourceGroup().location
  kind: 'StorageV2'
  sku: { name: 'Standard_LRS' }
  tags: { from: accounts[1].name }
  resource files 'fileServices' = {
    name: 'default'
  }
}

module shares 'shares.bicep' = {
  name: 'shares'
  params: {
    account: one.name
    names: names
  }
  dependsOn: [one::files]
}

output tiers array = [for i in range(0, 2): accounts[i].tags.tier]
output from string = one.tags.from
output first string = shares.outputs.first
output number int = length(shares.outputs.ids)
output key bool = empty(one.listKeys().keys[0].value)
output same bool = one.listkeys().keys[0].value == one.listKeys().keys[0].value
output deep string = settings.?a.b ?? 'none'
output shallow string = settings.?x.?b ?? 'none'
output mail string = wanted ? unwanted.properties.primaryEndpoints.file : 'none'
output mapped array = map(filter(range(0, 4), n => n % 2 == 1), n => 'm${n}')
output merged object = { a: 1, ...settings.a, c: [...names, 'x'] }
output text string = '''
{0} [raw]'''
"""

SYMBOLS = """
type tier = { name: string, size: int? }
param tiers tier[] = [{ name: 'a' }]
func shout(text string) string => toUpper(text)
output loud string = shout(tiers[0].name)
"""


def deployed(
    clients: Clients, name: str, template: dict[str, Any], parameters: dict[str, Any]
) -> dict[str, Any]:
    """The outputs of a deployment, by name."""
    given = {key: {"value": value} for key, value in parameters.items()}
    body = {"properties": {"mode": "Incremental", "template": template, "parameters": given}}
    poller = clients.deployments.deployments.begin_create_or_update(GROUP, name, body, polling_interval=0)
    outputs = poller.result().as_dict()["properties"]["outputs"]
    return {key: entry["value"] for key, entry in outputs.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shares.bicep").write_text(MODULE)
    return tmp_path


@pytest.mark.parametrize("prefix", ["", SYMBOLS], ids=["classic", "with symbols"])
def test_loops_conditions_existing_resources_and_modules(clients: Clients, folder: Path, prefix: str) -> None:
    template = compiled(prefix + MAIN, folder / "main.bicep")
    assert template.get("languageVersion") == ("2.0" if prefix else None)
    outputs = deployed(clients, "loops", template, {})
    assert outputs.pop("loud", "A") == "A"
    assert outputs.pop("from").startswith("loop1")
    assert outputs == {
        "tiers": ["Hot", "Cool"],
        "first": "n10",
        "number": 2,
        "key": False,
        "same": True,
        "deep": "deep",
        "shallow": "none",
        "mail": "none",
        "mapped": ["m1", "m3"],
        "merged": {"a": 1, "b": "deep", "c": ["n1", "n2", "x"]},
        "text": "{0} [raw]",
    }
    assert deployed(clients, "loops", template, {"wanted": True})["mail"] != "none"
