"""Tokens of the container app's managed identity for storage, from the endpoint that Container Apps give.

https://learn.microsoft.com/azure/container-apps/managed-identity (REST endpoint reference, 2019-08-01)
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException
from threading import Lock
from urllib.parse import urlencode

from remora.errors import CloudUnavailable, InvalidInput

AUDIENCE = "https://storage.azure.com"
REFRESH_SECONDS = 300.0  # that long before its end a token is replaced
TIMEOUT_SECONDS = 30.0
_ATTEMPTS = 5


class Tokens:
    """The current token; safe to use from threads. `now` gives seconds since 1970."""

    def __init__(
        self,
        endpoint: str,
        header: str,
        client_id: str,
        *,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        query = {"api-version": "2019-08-01", "resource": AUDIENCE, "client_id": client_id}
        self._url = f"{endpoint}?{urlencode({name: value for name, value in query.items() if value})}"
        self._header = header
        self._now = now
        self._sleep = sleep
        self._lock = Lock()
        self._token = ""
        self._expires = 0.0

    @classmethod
    def of(cls, environment: Mapping[str, str], client_id: str) -> Tokens:
        """With the variables of a container. Raises InvalidInput without them."""
        try:
            return cls(environment["IDENTITY_ENDPOINT"], environment["IDENTITY_HEADER"], client_id)
        except KeyError as error:
            raise InvalidInput(
                f"the container has no {error.args[0]}: the app has no managed identity",
                hint="run: remora provision",
            ) from None

    def get(self) -> str:
        """A token that lasts for some minutes. Raises CloudUnavailable."""
        with self._lock:
            if self._now() > self._expires - REFRESH_SECONDS:
                self._token, self._expires = self._ask_patiently()
            return self._token

    def forget(self, token: str) -> None:
        """Ask for another one next time: the service refused this one."""
        with self._lock:
            if token == self._token:
                self._expires = 0.0

    def _ask_patiently(self) -> tuple[str, float]:
        """As a replica starts, the endpoint may take a moment to come up."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._ask()
            except (OSError, HTTPException, ValueError, KeyError) as error:
                if isinstance(error, urllib.error.HTTPError):
                    error.close()
                if attempt == _ATTEMPTS:
                    raise CloudUnavailable(
                        f"the managed identity got no token: {_reason(error)}",
                        hint="look at the identity of the container app in the portal",
                    ) from error
                self._sleep(0.5 * 2**attempt)
        raise AssertionError

    def _ask(self) -> tuple[str, float]:
        request = urllib.request.Request(self._url, headers={"X-IDENTITY-HEADER": self._header})  # noqa: S310
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
            document = json.load(answer)
        return str(document["access_token"]), float(document["expires_on"])


def _reason(error: Exception) -> str:
    """Without the header, which is a secret, and which no error of these names."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    return str(error) or type(error).__name__
