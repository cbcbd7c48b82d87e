"""What an app costs by the list prices of Azure Container Apps: per hour awake and asleep, and per month.

The table `prices.json` is dated and names the source of each region; `python -m scripts.prices` refreshes it
from Azure's public price API. A price that is not in it is unknown and is never guessed. Sends no request.
How usage is billed: https://learn.microsoft.com/azure/container-apps/billing
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

HOURS_PER_MONTH = 730
"""Azure's own pages count a month so."""
_SECONDS_PER_HOUR = 3600
_FALLBACK = "canadacentral"  # the region whose prices are all known, for a comparison

# The meters of Azure's price API and the unit of each, in the API's words.
VCPU, VCPU_IDLE = "Standard vCPU Active Usage", "Standard vCPU Idle Usage"
MEMORY, MEMORY_IDLE = "Standard Memory Active Usage", "Standard Memory Idle Usage"
REQUESTS, T4, A100 = "Standard Requests", "Standard NC T4 v3 GPU Usage", "Standard NC A100 v4 GPU Usage"
NODE_VCPU, NODE_MEMORY, NODE_GPU = "Dedicated vCPU Usage", "Dedicated Memory Usage", "Dedicated GPU Usage"
MANAGEMENT = "Dedicated Plan Management"
UNITS: Mapping[str, str] = {
    **dict.fromkeys((VCPU, VCPU_IDLE, T4, A100), "1 Second"),
    **dict.fromkeys((MEMORY, MEMORY_IDLE), "1 GiB Second"),
    **dict.fromkeys((NODE_VCPU, NODE_MEMORY, NODE_GPU, MANAGEMENT), "1 Hour"),
    REQUESTS: "1M",
}


@dataclass(frozen=True, slots=True)
class Size:
    """What one replica is billed for; on a dedicated profile the whole node."""

    vcpu: float
    gib: float
    gpus: int = 0


DEFAULT_SIZES: Mapping[str, Size] = {
    "Consumption": Size(2, 4),
    "Consumption-GPU-NC8as-T4": Size(8, 56, 1),
    "Consumption-GPU-NC24-A100": Size(24, 220, 1),
    "NC24-A100": Size(24, 220, 1),
    "NC48-A100": Size(48, 440, 2),
    "NC96-A100": Size(96, 880, 4),
    **{f"D{cores}": Size(cores, cores * 4) for cores in (4, 8, 16, 32)},
    **{f"E{cores}": Size(cores, cores * 8) for cores in (4, 8, 16, 32)},
}
"""By workload profile: the sizes of our template for serverless ones, a node for dedicated ones."""
_GPU_METERS: Mapping[str, str] = {"Consumption-GPU-NC8as-T4": T4, "Consumption-GPU-NC24-A100": A100}


@dataclass(frozen=True, slots=True)
class Load:
    """How an app is used: its scale, and the requests that are expected.

    `kept_replicas` run without a request, on average; more than `min_replicas` if some stay awake at times.
    """

    min_replicas: int
    kept_replicas: float
    cooldown_seconds: float
    requests_per_hour: float


@dataclass(frozen=True, slots=True)
class Price:
    """Prices of one replica in `currency`; `month` is for the fewest replicas at the expected load.

    `hour_management` is the part of an hour that is billed once, however many replicas there are.
    """

    region: str
    currency: str
    as_of: str
    source: str
    hour_awake: float
    hour_asleep: float
    hour_management: float
    month: float
    requests_per_hour: float


@cache
def read_table() -> Mapping[str, Mapping[str, object]]:
    """The table of the package."""
    document: dict[str, Mapping[str, object]] = json.loads(
        files("remora.azure").joinpath("prices.json").read_text("utf-8")
    )
    return document


def price_of(region: str, profile: str, size: Size, load: Load) -> Price | None:
    """The price in a region; None if the table lacks one of the meters that it needs.

    With no free grant, no storage and no logs. Requests are spread evenly, and each one keeps the replica
    awake for the cooldown.
    """
    table = read_table()
    plain = region.replace(" ", "").lower()
    entry: Mapping[str, object] = table["regions"].get(plain) or {}  # type: ignore[assignment]
    meters: Mapping[str, float] = entry.get("meters") or {}  # type: ignore[assignment]
    try:
        awake, idle = _hours(profile, size, meters)
        management = _management(profile, meters)
        asleep = idle * load.min_replicas + management
        busy = awake * max(1, load.min_replicas) + management
        awake += management
        requests = meters[REQUESTS] / 1e6 * load.requests_per_hour if profile.startswith("Consumption") else 0
    except KeyError:
        return None
    share = min(load.requests_per_hour * load.cooldown_seconds / _SECONDS_PER_HOUR, 1.0)
    rest = idle * load.kept_replicas + management
    month = (busy * share + rest * (1 - share) + requests) * HOURS_PER_MONTH
    return Price(
        plain,
        str(table["currency"]),
        str(entry["as_of"]),
        str(entry["source"]),
        awake,
        asleep,
        management,
        month,
        load.requests_per_hour,
    )


def known_elsewhere(profile: str, size: Size, load: Load) -> Price | None:
    """The price in a region whose prices are known, where those of the app's own are not."""
    return price_of(_FALLBACK, profile, size, load)


def _hours(profile: str, size: Size, meters: Mapping[str, float]) -> tuple[float, float]:
    """The price of an hour of one replica at work, and of one that is kept without a request.

    Only serverless CPU has a lower price while it is idle.
    """
    if not profile.startswith("Consumption"):
        node = size.vcpu * meters[NODE_VCPU] + size.gib * meters[NODE_MEMORY]
        node += size.gpus * meters[NODE_GPU] if size.gpus else 0.0
        return node, node
    gpu = size.gpus * meters[_GPU_METERS[profile]] if size.gpus else 0.0
    awake = (size.vcpu * meters[VCPU] + size.gib * meters[MEMORY] + gpu) * _SECONDS_PER_HOUR
    if size.gpus:
        return awake, awake
    idle = (
        meters.get(VCPU_IDLE, meters[VCPU]) * size.vcpu + meters.get(MEMORY_IDLE, meters[MEMORY]) * size.gib
    )
    return awake, idle * _SECONDS_PER_HOUR


def _management(profile: str, meters: Mapping[str, float]) -> float:
    """What an environment with a dedicated profile costs, whatever runs in it."""
    return 0.0 if profile.startswith("Consumption") else meters[MANAGEMENT]
