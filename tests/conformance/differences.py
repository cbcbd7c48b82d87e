"""How one answer differs from the recorded one: status, headers, and the body in its normal form."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import httpx
from tests.conformance.normal import normal
from tests.conformance.recordings import Exchange

# Of the transport, or dropped by the recorder from some answers and not from others.
NOT_COMPARED: Final = frozenset(
    (
        "connection",
        "content-length",
        "date",
        "retry-after",  # the recorder's sessions kept none
        "server",
        "transfer-encoding",
        "x-ms-correlation-request-id",
        "x-ms-request-id",
    )
)

COUNTS: Final = "x-ms-ratelimit-remaining-"  # no recording that is kept here has them
STATES: Final = ("healthState", "provisioningState", "runningState")
PASSED_THROUGH: Final = (
    "None",
    "Activating",
    "Deprovisioning",
    "InProgress",
    "Processing",
    "Provisioning",
    "Waiting",
)


def differences(answer: httpx.Response, recorded: Exchange) -> list[str]:
    """One line each: `where: what ours is, what was recorded`. Empty where they are equal."""
    if answer.status_code != recorded.status:
        return [f"status: {answer.status_code}, recorded {recorded.status}: {answer.text[:300]}"]
    of_a_container = recorded.to_an_app  # its headers are its own
    headers = () if of_a_container else _header_differences(answer.headers, recorded.answer_headers)
    return list(headers) + list(_body_differences(answer, recorded))


def _header_differences(ours: Mapping[str, str], recorded: Mapping[str, str]) -> Iterator[str]:
    kept = {name for name in ours if not name.startswith(COUNTS)} - NOT_COMPARED
    wanted = set(recorded) - NOT_COMPARED
    if "content-type" not in recorded:  # the recorder kept no type of an empty body, ours sends none either
        kept.discard("content-type")
    yield from (f"header {name}: not recorded" for name in sorted(kept - wanted))
    yield from (f"header {name}: missing" for name in sorted(wanted - kept))
    for name in sorted(kept & wanted - {"api-supported-versions", "content-type"}):
        mine, theirs = normal(ours[name]), normal(recorded[name])
        if mine != theirs:
            yield f"header {name}: {mine}, recorded {theirs}"


def _body_differences(answer: httpx.Response, recorded: Exchange) -> Iterator[str]:
    if not recorded.answer_body:
        if answer.content:
            yield f"body: {answer.text[:200]}, recorded empty"
        return
    if recorded.to_an_app:  # what a container answers is its own; what the ingress answers is compared
        ours, theirs = (answer.text, recorded.answer_body) if recorded.status >= 400 else ("", "")
    else:
        ours, theirs = read(answer.text), read(recorded.answer_body)
        if recorded.url.path.lower().endswith("/listsecrets"):  # in no order, not even from call to call
            ours, theirs = _by_name(ours), _by_name(theirs)
        if recorded.to_arm and "/resourcegroups/" not in recorded.url.path.lower():
            theirs = _known(theirs, ours)
    yield from value_differences("body", normal(ours), normal(theirs))


def _by_name(listed: Any) -> Any:
    items = sorted(listed.get("value", ()), key=lambda item: str(item.get("name")))
    return {**listed, "value": items}


def _known(recorded: Any, ours: Any) -> Any:
    """A list of the whole subscription without what others had in it."""
    if not isinstance(recorded, dict) or not isinstance(recorded.get("value"), list):
        return recorded
    names = [item.get("name") for item in ours.get("value", ())]  # a list: names of usages are objects
    paged = {name: item for name, item in recorded.items() if name != "nextLink"}
    return {**paged, "value": [item for item in recorded["value"] if item.get("name") in names]}


def read(body: Any) -> Any:
    """JSON, or lines of it as log streams send them, or text. The recorder parsed objects only."""
    if not isinstance(body, str):
        return body
    try:
        return json.loads(body)
    except json.JSONDecodeError:
        lines = body.splitlines()
        return [json.loads(line) for line in lines] if len(lines) > 1 and lines[0].startswith("{") else body


def value_differences(where: str, ours: Any, recorded: Any) -> Iterator[str]:
    """Compare two normal forms: keys in both directions, items of lists in order, values as they are."""
    if isinstance(ours, dict) and isinstance(recorded, dict):
        for name in sorted(ours.keys() | recorded.keys()):
            if name not in recorded:
                yield f"{where}.{name}: not recorded"
            elif name not in ours:
                yield f"{where}.{name}: missing, recorded {_short(recorded[name])}"
            else:
                yield from value_differences(f"{where}.{name}", ours[name], recorded[name])
    elif isinstance(ours, list) and isinstance(recorded, list):
        if len(ours) != len(recorded):
            yield f"{where}: {len(ours)} items, recorded {len(recorded)}"
        for mine, theirs in zip(ours, recorded, strict=False):
            yield from value_differences(f"{where}[]", mine, theirs)
    elif ours != recorded and not _on_the_way(where, recorded):
        yield f"{where}: {_short(ours)}, recorded {_short(recorded)}"


def _on_the_way(where: str, recorded: Any) -> bool:
    """A state that was only passed through when it was recorded says nothing about ours."""
    return where.rpartition(".")[2] in STATES and recorded in PASSED_THROUGH


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
