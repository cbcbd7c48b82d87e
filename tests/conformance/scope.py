"""Which recorded exchanges the local cloud does not answer at all, and why."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from tests.conformance.recordings import Exchange

FOREIGN: Final = re.compile(
    r"Microsoft\.(?!App\b|ManagedIdentity\b|Storage\b|OperationalInsights\b|Resources\b)\w+"
)
# These only name what is elsewhere: the subnet of an environment, the identities of an app.
NAMES_OTHERS: Final = re.compile(r"/providers/Microsoft\.App/", re.IGNORECASE)
MADE_GROUP: Final = re.compile(r'"id": "/subscriptions/[^/"]+/resourceGroups/([^/"]+)"')
APP_HOST: Final = re.compile(r"https://([a-z0-9.-]+\.azurecontainerapps\.io)")
SERVICE_FAILED: Final = "Kubernetes error happened"
DEPLOYMENT: Final = re.compile(r"/deployments(?:/([^/]*))?", re.IGNORECASE)


@dataclass(slots=True)
class Scope:
    """Follows a conversation: what depends on a service that is not emulated is out of scope with it."""

    _deployments: dict[str, str] = field(default_factory=dict)
    _operations: dict[str, str] = field(default_factory=dict)
    _groups: dict[str, str] = field(default_factory=dict)
    """The groups that such a deployment created: nothing in them is there."""
    _hosts: dict[str, str] = field(default_factory=dict)

    def why_not(self, exchange: Exchange) -> str | None:
        """The reason, or None where the exchange is to be asked."""
        reason = self._reason(exchange)
        if reason:
            self._learn(exchange, reason)
        return reason

    def _learn(self, exchange: Exchange, reason: str) -> None:
        """What else is out of scope since this exchange is."""
        for name in ("location", "azure-asyncoperation"):
            if name in exchange.answer_headers:
                self._operations[urlsplit(exchange.answer_headers[name]).path] = reason
        answered = json.dumps(exchange.answer_body)
        if DEPLOYMENT.search(exchange.url.path):
            self._groups |= dict.fromkeys(MADE_GROUP.findall(answered), reason)
        self._hosts |= dict.fromkeys(APP_HOST.findall(answered), reason)

    def _reason(self, exchange: Exchange) -> str | None:
        path = exchange.url.path
        if exchange.status == 404 and isinstance(exchange.answer_body, dict) and "id" in exchange.answer_body:
            return "a resource under the status 404: the recorder mixed two answers"
        if SERVICE_FAILED in json.dumps(exchange.answer_body):
            return "the service failed while it was recorded"
        named = FOREIGN.search(path if NAMES_OTHERS.search(path) else f"{path} {json.dumps(exchange.body)}")
        deployment = DEPLOYMENT.search(path)
        if named:
            reason = f"{named.group()} is not emulated"
            if deployment and exchange.method == "PUT":
                self._deployments[deployment.group(1)] = reason
            return reason
        elsewhere = _elsewhere(exchange) or self._hosts.get(exchange.url.netloc) or self._left_out(exchange)
        if elsewhere:
            return elsewhere
        if deployment and not deployment.group(1):  # a list of what was deployed before
            return next(iter(self._deployments.values()), None)
        return self._deployments.get(deployment.group(1)) if deployment else self._operations.get(path)

    def _left_out(self, exchange: Exchange) -> str | None:
        """Whether the exchange is about a group that is not there."""
        told = f"{exchange.url.path} {json.dumps(exchange.answer_body)}".lower()
        found = (
            reason for group, reason in self._groups.items() if f"/resourcegroups/{group.lower()}" in told
        )
        return next(found, None)


def _elsewhere(exchange: Exchange) -> str | None:
    if exchange.url.netloc in ("raw.githubusercontent.com", "aka.ms"):
        return "a file on GitHub"
    if exchange.url.netloc.endswith(".azurecr.io"):
        return "Microsoft.ContainerRegistry is not emulated"
    if "skiptoken" in exchange.url.query:
        return "a further page of what others deployed to the subscription of the recording"
    return None
