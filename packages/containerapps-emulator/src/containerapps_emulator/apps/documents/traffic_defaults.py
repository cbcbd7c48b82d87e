"""What Container Apps makes of `ingress.traffic` that a client sent: refusals first, then its defaults."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Any, Final

from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.state import Json

INVALID: Final = "ContainerAppInvalidTraffic"
LABEL: Final = re.compile(r"[a-z]([a-z0-9]|-(?!-)){0,62}(?<!-)")


def traffic_with_defaults(sent: list[Json] | None) -> list[Json]:
    """The entries to store. Raises ArmError."""
    entries = [_entry(item) for item in sent or [{"weight": 100, "latestRevision": True}]]
    total = sum(item.get("weight", 0) for item in entries)
    if total != 100:
        message = f"The weights in configuration.ingress.traffic add up to {total}, not to 100."
        raise ArmError(400, "ContainerAppTrafficWeightsInvalid", message)
    labels = [item["label"] for item in entries if "label" in item]
    for label in labels:
        if labels.count(label) > 1:
            raise ArmError(400, INVALID, f"Label '{label}' is given to {labels.count(label)} revisions.")
    return entries


def check_revisions(traffic: Iterable[Json], known: Collection[str]) -> None:
    """Refuse traffic to a revision that is not there. An inactive one may be named, and answers nothing."""
    for item in traffic:
        name = item.get("revisionName")
        if name and name not in known:
            raise ArmError(400, "RevisionNotFound", f"Traffic names revision '{name}', which was not found.")


def labelled(traffic: Iterable[Json], label: str, revision: str) -> list[Json]:
    """The entries once the label is that revision's: the weight stays the label's; the first has all."""
    entries = list(traffic)
    held = next((item for item in entries if item.get("label") == label), None)
    weight = held["weight"] if held else 0 if entries else 100
    given = {"revisionName": revision, "weight": weight, "label": label}
    return [given if item is held else item for item in entries] if held else [*entries, given]


def _entry(item: Json) -> Json:
    entry = {name: value for name, value in item.items() if value is not None}
    if bool(entry.get("latestRevision")) == bool(entry.get("revisionName")):
        message = "An entry of configuration.ingress.traffic names a revisionName or the latestRevision."
        raise ArmError(400, INVALID, message)
    label = entry.get("label")
    if label is not None and not LABEL.fullmatch(str(label)):
        message = (
            f"Label '{label}' is invalid: lower case letters, digits and '-', beginning with a letter and"
            " without '--'."
        )
        raise ArmError(400, INVALID, message)
    if not entry.get("latestRevision"):
        entry.pop("latestRevision", None)  # never answered where it is false
    return {**entry, "weight": _weight(entry.get("weight", 0))}


def _weight(sent: Any) -> int:
    """The Azure CLI writes numbers as texts."""
    text = str(sent)
    if not text.isdecimal() or int(text) > 100:
        raise ArmError(400, "ContainerAppTrafficWeightsInvalid", f"Weight '{text}' is not 0 to 100.")
    return int(text)
