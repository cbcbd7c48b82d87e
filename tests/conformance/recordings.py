"""Recorded conversations with the real services: where they lie, and one exchange of one.

The files are Microsoft's, kept beside the repository; without them there is nothing to compare with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

EVIDENCE = Path(__file__).parents[3] / "shared" / "azure"
RECORDINGS = EVIDENCE / "recordings"
ARM_HOST = "management.azure.com"
MASKED_DEPLOYMENT = "mock-deployment"
ABSENT = f"Microsoft's recordings and specifications are not in {EVIDENCE}"


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
    for item in json.loads(path.read_text())["exchanges"]:
        exchange = _exchange(item)
        deployment = _deployment(exchange) or deployment
        exchanges.append(_with_deployment(exchange, deployment))
    return tuple(exchanges)


def _deployment(exchange: Exchange) -> str | None:
    """What a deployment is really called: answers tell, requests had their names masked by the recorder."""
    body = exchange.answer_body
    if isinstance(body, dict) and body.get("type") == "Microsoft.Resources/deployments":
        return str(body["name"])
    return None


def _with_deployment(exchange: Exchange, name: str) -> Exchange:
    path = exchange.url.path.replace(f"/{MASKED_DEPLOYMENT}", f"/{name}")
    return replace(exchange, url=exchange.url._replace(path=path))


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
