"""The price of a project: what is billed for it, as data and as lines, and the limit of `--max-hourly`.

The prices themselves and how usage is billed are in `azure/prices.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from remora.azure.app.apps import ContainerApp
from remora.azure.app.scale import wanted_scale
from remora.azure.app.state import AppState
from remora.azure.failures import explained
from remora.azure.prices import DEFAULT_SIZES, Load, Price, Size, known_elsewhere, price_of
from remora.cli.target import Target
from remora.errors import Refused, RemoraError

DEFAULT_REQUESTS_PER_HOUR = 10.0
_COOLDOWN_SECONDS = 300.0
FRONT_SIZE = Size(0.25, 0.5)  # as in the template
FRONT_BUSY_SECONDS = 30.0
_PROFILE, _CPU, _MEMORY = "workloadProfile", "cpu", "memory"
FRONT_HINT = "the first request after a sleep waits for a start; [scale] front = true answers it at once"

MaxHourlyOption = Annotated[
    float | None,
    typer.Option(
        "--max-hourly",
        min=0,
        help="Refuse, before anything is made, an app that can cost more per hour by Azure's list prices.",
    ),
]
RequestsOption = Annotated[
    float, typer.Option("--requests-per-hour", min=0, help="For the price of a month.")
]


def planned_price(target: Target, requests_per_hour: float = DEFAULT_REQUESTS_PER_HOUR) -> dict[str, Any]:
    """The price of what a template makes, from its parameters."""
    values = target.wanted.parameters
    declared = target.wanted.template.get("parameters") or {}
    profile = str(_value(_PROFILE, values, declared) or "Consumption")
    size = DEFAULT_SIZES.get(profile)
    if size is not None and profile.startswith("Consumption"):
        size = Size(
            _number(_value(_CPU, values, declared), size.vcpu),
            _number(_value(_MEMORY, values, declared), size.gib),
            size.gpus,
        )
    scale = wanted_scale(target.settings.scale)
    load = Load(scale.min_replicas, scale.kept_replicas, _COOLDOWN_SECONDS, requests_per_hour)
    most = max(scale.max_replicas, int(_number(_value("maximumInstanceCount", values, declared), 1)))
    front = FRONT_SIZE if target.settings.scale.front else None
    return _document(target.wanted.location, profile, size, load, most, front)


def deployed_price(
    app: ContainerApp, requests_per_hour: float = DEFAULT_REQUESTS_PER_HOUR, *, front: bool = False
) -> dict[str, Any]:
    """The price of an app as it is in the cloud, and of its front, if there is one."""
    state = app.read()
    region, profile = region_and_profile(app, state)
    size = DEFAULT_SIZES.get(profile)
    if size is not None and profile.startswith("Consumption"):
        resources = [one.get("resources") or {} for one in state.template["containers"]]
        vcpu = sum(float(one.get("cpu") or 0) for one in resources)
        gib = sum(_number(one.get("memory"), 0) for one in resources)
        size = Size(vcpu, gib, size.gpus)
    scale = state.scale
    load = Load(scale.min_replicas, scale.kept_replicas, _COOLDOWN_SECONDS, requests_per_hour)
    return _document(region, profile, size, load, scale.max_replicas, FRONT_SIZE if front else None)


def check_limit(price: Mapping[str, Any], most: float | None) -> None:
    """Raises Refused if all replicas at work can cost more than that per hour, or if that is not known."""
    if most is None:
        return
    if price["hour_awake"] is None:
        raise Refused(
            f"the price of {price['profile']} in {price['region']} is not known: --max-hourly cannot be kept",
            hint="leave out --max-hourly, or choose another region with --location",
            param="--max-hourly",
        )
    once = price["hour_management"]
    highest = (price["hour_awake"] - once) * price["max_replicas"] + once
    if highest > most:
        raise Refused(
            f"{price['max_replicas']} replicas of {price['profile']} in {price['region']} cost up to"
            f" {highest:.2f} {price['currency']} an hour; --max-hourly is {most:g}",
            hint="lower maximumInstanceCount or max_replicas under [scale], or raise --max-hourly",
            param="--max-hourly",
        )


def price_line(price: Mapping[str, Any]) -> str:
    """One line: the hour awake, asleep, and the month."""
    if price["hour_awake"] is not None:
        return _amounts(price)
    elsewhere = price["elsewhere"]
    told = f"not known for {price['profile']} in {price['region']}"
    return f"{told}; {_amounts(elsewhere)}" if elsewhere else told


def front_line(price: Mapping[str, Any]) -> str:
    """One line: what the front costs beside the model; "" without one."""
    front = price.get("front")
    if not front:
        return ""
    known = price if front["month"] is not None else price["elsewhere"]
    month = front["month"] if front["month"] is not None else front["month_elsewhere"]
    size = f"{front['vcpu']:g} CPU, {front['gib']:g} GiB, always on"
    if month is None or known is None:
        return f"{size}, price not known in {price['region']}"
    where = "" if known is price else f" in {known['region']}"
    return f"{size}, {month:.2f} {known['currency']} a month{where}"


def _amounts(price: Mapping[str, Any]) -> str:
    unit = price["currency"]
    return (
        f"{price['hour_awake']:.2f} {unit} an hour awake, {price['hour_asleep']:.2f} asleep,"
        f" {price['month']:.2f} a month at {price['requests_per_hour']:g} requests an hour"
        f" (list price of {price['as_of']} in {price['region']})"
    )


def _document(
    region: str, profile: str, size: Size | None, load: Load, max_replicas: int, front: Size | None
) -> dict[str, Any]:
    known = price_of(region, profile, size, load) if size else None
    elsewhere = known_elsewhere(profile, size, load) if size and known is None else None
    return {
        "region": region,
        "profile": profile,
        "max_replicas": max_replicas,
        **_values(known),
        "elsewhere": _values(elsewhere) | {"region": elsewhere.region} if elsewhere else None,
        "front": _front(region, front, load.requests_per_hour) if front else None,
    }


def _front(region: str, size: Size, requests_per_hour: float) -> dict[str, Any]:
    """The front runs all the time, and is at work only while a request goes through it."""
    load = Load(1, 1.0, FRONT_BUSY_SECONDS, requests_per_hour)
    here = price_of(region, "Consumption", size, load)
    elsewhere = known_elsewhere("Consumption", size, load) if here is None else None
    return {
        "vcpu": size.vcpu,
        "gib": size.gib,
        "month": here.month if here else None,
        "month_elsewhere": elsewhere.month if elsewhere else None,
    }


def _values(price: Price | None) -> dict[str, Any]:
    hours = ("hour_awake", "hour_asleep", "hour_management")
    names = ("currency", "as_of", "source", *hours, "month", "requests_per_hour")
    return {name: getattr(price, name) if price else None for name in names}


def region_and_profile(app: ContainerApp, state: AppState) -> tuple[str, str]:
    """The region of the app's environment, and the type of the app's workload profile."""
    parts = state.environment_id.strip("/").split("/")
    try:
        with explained(f"reading environment {parts[-1]!r}"):
            found: dict[str, Any] = app.clients.apps.managed_environments.get(parts[3], parts[-1]).as_dict()
    except RemoraError:
        return "an unknown region", state.workload_profile or "Consumption"
    profiles = (found.get("properties") or {}).get("workloadProfiles") or []
    kinds = {str(one["name"]): str(one.get("workloadProfileType")) for one in profiles}
    return str(found.get("location")).replace(" ", "").lower(), kinds.get(
        state.workload_profile
    ) or "Consumption"


def _value(name: str, values: Mapping[str, Any], declared: Mapping[str, Any]) -> Any:
    """A parameter's value, or its default if that is no expression."""
    default = (declared.get(name) or {}).get("defaultValue")
    found = values.get(name, default)
    return None if isinstance(found, str) and found.startswith("[") else found


def _number(value: object, default: float) -> float:
    """The number in `4` or `4Gi`; the default if there is none."""
    try:
        return float(str(value).removesuffix("Gi"))
    except ValueError:
        return default
