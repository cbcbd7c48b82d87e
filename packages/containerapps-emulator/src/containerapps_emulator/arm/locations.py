"""The regions of Azure, with its names and facts, to list them and detect a mistyped one. Owns no quota."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any, Final

from containerapps_emulator.state import Json

_REGIONS: Final[list[Json]] = json.loads(
    files("containerapps_emulator.arm").joinpath("locations.json").read_text(encoding="utf-8")
)
_FIRST_WITH_ZONES: Final = "2022-12-01"


def _holds_resources(region: Json) -> bool:
    """Logical regions are groups of regions, but Microsoft records its own tests in the staging ones."""
    is_physical: bool = region["metadata"]["regionType"] == "Physical"
    return is_physical or region["name"].endswith("stage")


LOCATIONS: Final[dict[str, str]] = {
    region["name"]: region["displayName"] for region in _REGIONS if _holds_resources(region)
}


def normal_location(name: str) -> str | None:
    """`East US 2` and `EASTUS2` are `eastus2`; None if there is no such region."""
    normal = re.sub(r"[ ()]", "", name).lower()
    return normal if normal in LOCATIONS else None


def paired_region(name: str) -> str | None:
    """The region that geo-redundant storage replicates to."""
    for region in _REGIONS:
        if region["name"] == name:
            return next(iter(region["metadata"].get("pairedRegion", ())), None)
    return None


def shown_locations(subscription_id: str, api_version: str) -> list[Json]:
    """Every region, the logical ones too, as `GET …/locations` returns them."""
    prefix = f"/subscriptions/{subscription_id}/locations"
    return [_shown(region, prefix, with_zones=api_version >= _FIRST_WITH_ZONES) for region in _REGIONS]


def _shown(region: Json, prefix: str, *, with_zones: bool) -> Json:
    metadata: dict[str, Any] = dict(region["metadata"])
    if "pairedRegion" in metadata:
        metadata["pairedRegion"] = [
            {"name": name, "id": f"{prefix}/{name}"} for name in metadata["pairedRegion"]
        ]
    shown = {
        "id": f"{prefix}/{region['name']}",
        "name": region["name"],
        "type": "Region",
        "displayName": region["displayName"],
        "regionalDisplayName": region["regionalDisplayName"],
        "metadata": metadata,
    }
    if with_zones and "zones" in region:
        zones = enumerate(region["zones"], start=1)
        shown["availabilityZoneMappings"] = [
            {"logicalZone": str(number), "physicalZone": f"{region['name']}-{zone}"} for number, zone in zones
        ]
    return shown
