"""Which recorded exchanges the local cloud does not answer at all, and why."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from tests.conformance.recordings import Exchange

FOREIGN: Final = re.compile(r"Microsoft\.(?!App\b|Storage\b|OperationalInsights\b|Resources\b)\w+")
DEPLOYMENT: Final = re.compile(r"/deployments(?:/([^/]*))?", re.IGNORECASE)


@dataclass(slots=True)
class Scope:
    """Follows a conversation: what depends on a service that is not emulated is out of scope with it."""

    _deployments: dict[str, str] = field(default_factory=dict)
    _operations: dict[str, str] = field(default_factory=dict)

    def why_not(self, exchange: Exchange) -> str | None:
        """The reason, or None where the exchange is to be asked."""
        reason = self._reason(exchange)
        location = exchange.answer_headers.get("location")
        if reason and location:
            self._operations[urlsplit(location).path] = reason
        return reason

    def _reason(self, exchange: Exchange) -> str | None:
        path = exchange.url.path
        if exchange.url.netloc == "raw.githubusercontent.com":
            return "a file on GitHub"
        named = FOREIGN.search(f"{path} {json.dumps(exchange.body)}")
        deployment = DEPLOYMENT.search(path)
        if named:
            reason = f"{named.group()} is not emulated"
            if deployment and exchange.method == "PUT":
                self._deployments[deployment.group(1)] = reason
            return reason
        if deployment and not deployment.group(1):  # a list of what was deployed before
            return next(iter(self._deployments.values()), None)
        return self._deployments.get(deployment.group(1)) if deployment else self._operations.get(path)
