"""The template with what `how-to/private-networks.md` adds to it is one that the compiler takes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.docs.blocks import ROOT, blocks_of

from remora.azure.bicep import compile_bicep

PAGE = ROOT / "docs/how-to/private-networks.md"
TEMPLATE = ROOT / "src/remora/project/template/inference.bicep"
PLACE = re.compile(r", (before|after) `([^`]+)`:\n\n```bicep\n")


def changed_template() -> dict[str, Any]:
    """Each block goes where the sentence before it says."""
    source = TEMPLATE.read_text("utf-8")
    places = PLACE.findall(PAGE.read_text("utf-8"))
    blocks = [block.text for block in blocks_of(PAGE) if block.language == "bicep"]
    for (side, anchor), block in zip(places, blocks, strict=True):
        assert source.count(anchor) == 1, anchor
        source = source.replace(anchor, f"{block}{anchor}" if side == "before" else f"{anchor}\n{block}")
    return compile_bicep(source, Path("inference.bicep"))


def properties(template: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each["properties"] for each in template["resources"] if each["type"] == kind)
    return found


def test_the_additions_compile_to_what_the_page_says() -> None:
    template = changed_template()
    subnet = "[parameters('subnetId')]"
    environment = properties(template, "Microsoft.App/managedEnvironments")
    assert environment["vnetConfiguration"] == {"infrastructureSubnetId": subnet, "internal": True}
    account = properties(template, "Microsoft.Storage/storageAccounts")
    assert account["networkAcls"]["defaultAction"] == "Deny"
    assert account["networkAcls"]["virtualNetworkRules"] == [{"id": subnet}]
    assert "defaultValue" not in template["parameters"]["subnetId"]
