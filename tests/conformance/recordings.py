"""Recorded conversations with the real services: where they lie, and one exchange of one.

The files are Microsoft's and no part of this repository; `make evidence` fetches them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from tests.conformance import evidence

EVIDENCE = evidence.folder()
RECORDINGS = EVIDENCE / "recordings"
ARM_HOST = "management.azure.com"
MASKED_DEPLOYMENT = "mock-deployment"
ABSENT = evidence.ABSENT
RECORDED_SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
_SUBSCRIPTION = re.compile(
    rf"https://{ARM_HOST}/subscriptions/([0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}})"
)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and the answer that the real service gave. Bodies are JSON values, text or None."""

    method: str
    url: SplitResult
    headers: Mapping[str, str]
    body: Any
    status: int
    answer_headers: Mapping[str, str]
    answer_body: Any

    @property
    def to_arm(self) -> bool:
        return self.url.netloc == ARM_HOST

    @property
    def to_files(self) -> bool:
        return ".file.core." in self.url.netloc

    @property
    def to_an_app(self) -> bool:
        return self.url.netloc.endswith(".azurecontainerapps.io")

    @property
    def to_a_log_stream(self) -> bool:
        return self.url.netloc.endswith(".azurecontainerapps.dev")


@dataclass(frozen=True, slots=True)
class Scenario:
    """One recorded conversation, in order."""

    name: str
    exchanges: tuple[Exchange, ...]


def scenarios(folder: Path = RECORDINGS) -> list[Scenario]:
    """All of them, by name; none where the recordings are absent."""
    return [
        Scenario(f"{path.parent.name}/{path.stem}", _read(path)) for path in sorted(folder.glob("*/*.json"))
    ]


def _read(path: Path) -> tuple[Exchange, ...]:
    exchanges: list[Exchange] = []
    deployment = MASKED_DEPLOYMENT
    for item in json.loads(_masked(path.read_text()))["exchanges"]:
        exchange = _exchange(item)
        deployment = _deployment(exchange) or deployment
        exchanges.append(_restored(_with_deployment(exchange, deployment), exchanges))
    return tuple(exchanges)


def _masked(text: str) -> str:
    """One recorder masks the subscription and leaves out the port, the other does neither."""
    text = re.sub(r"(https://[^/\"]+):443/", r"\1/", text)
    for subscription in sorted(set(_SUBSCRIPTION.findall(text)) - {RECORDED_SUBSCRIPTION}):
        text = text.replace(subscription, RECORDED_SUBSCRIPTION)
    return text


def _deployment(exchange: Exchange) -> str | None:
    """What a deployment is really called: answers tell, requests had their names masked by the recorder."""
    body = exchange.answer_body
    if isinstance(body, dict) and body.get("type") == "Microsoft.Resources/deployments":
        return str(body["name"])
    return None


def _with_deployment(exchange: Exchange, name: str) -> Exchange:
    path = exchange.url.path.replace(f"/{MASKED_DEPLOYMENT}", f"/{name}")
    return replace(exchange, url=exchange.url._replace(path=path))


def _restored(exchange: Exchange, earlier: Sequence[Exchange]) -> Exchange:
    """With what the recorder masked in some places and not in others, or dropped.

    The source of a copy is the file of that path that was written before. A share's snapshot is named by a
    header: it is shown where it was read, and was deleted where a share could not be before.
    """
    headers = dict(exchange.headers)
    if "x-ms-copy-source" in headers:
        source = urlsplit(headers["x-ms-copy-source"])
        path = source.path.split("/", 2)[2].replace("%5C", "/")
        written = next(
            item for item in earlier if item.method == "PUT" and item.url.path.split("/", 2)[2:] == [path]
        )
        share, rest = written.url.path.split("/")[1], source.path.split("/", 2)[2]
        masked = source._replace(netloc=written.url.netloc, path=f"/{share}/{rest}")
        headers["x-ms-copy-source"] = masked.geturl()
    snapshot = _snapshot_time(exchange) if exchange.method == "GET" else ""
    former = earlier[-1] if earlier else exchange
    if exchange.method == "DELETE" and former.method == "DELETE" and former.status == 409:
        snapshot = next(filter(None, map(_snapshot_time, reversed(earlier))), "")
    if exchange.method == "GET" and exchange.status == 404:
        known = (item.headers["x-ms-snapshot"] for item in earlier if "x-ms-snapshot" in item.headers)
        snapshot = next(known, "")
    if snapshot:
        headers["x-ms-snapshot"] = snapshot
    return replace(exchange, headers=headers)


def _snapshot_time(exchange: Exchange) -> str:
    body = exchange.answer_body if exchange.to_arm else None
    properties = body.get("properties") if isinstance(body, dict) else None
    return str(properties.get("snapshotTime", "")) if isinstance(properties, dict) else ""


def _exchange(item: dict[str, Any]) -> Exchange:
    request, answer = item["request"], item["response"]
    return Exchange(
        method=request["method"],
        url=urlsplit(request["uri"]),
        headers=request["headers"],
        body=request["body"],
        status=answer["status"],
        answer_headers={name.lower(): value for name, value in answer["headers"].items()},
        answer_body=answer["body"],
    )
