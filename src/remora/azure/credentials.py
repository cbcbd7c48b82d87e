"""Credentials for a cloud: Azure's default credential chain, or the local cloud's own token.

Also summarizes a chain in which every credential failed; the summary never contains a secret.
"""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING, Any

from azure.core.credentials import AccessToken, AccessTokenInfo

from remora.errors import SignInRequired

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

_HOUR_SECONDS = 3600
_ATTEMPT = re.compile(r"^\t(\w+)(?:: (.*))?$", re.MULTILINE)
_NOT_SET_UP = re.compile(r"unavailable|not found|could not be found|is not installed|requires the", re.I)
_REASON_CHARACTERS = 160


class StaticToken:
    """The local cloud's own token; it does not expire while the cloud runs."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __repr__(self) -> str:
        return "StaticToken()"

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:  # noqa: ARG002 - the SDK's protocol
        return AccessToken(self._token, int(time.time()) + _HOUR_SECONDS)

    def get_token_info(self, *scopes: str, **options: Any) -> AccessTokenInfo:  # noqa: ARG002
        return AccessTokenInfo(self._token, int(time.time()) + _HOUR_SECONDS)


def azure_credential() -> TokenCredential:
    """Azure CLI, environment, managed identity and so on, in the SDK's documented order."""
    from azure.identity import DefaultAzureCredential

    # The SDK logs each failed attempt as a warning, and without any handler Python prints those.
    logging.getLogger("azure").addHandler(logging.NullHandler())
    try:
        credential: TokenCredential = DefaultAzureCredential()
    except ValueError as error:  # a variable has an invalid tenant, authority or chain
        raise SignInRequired(
            f"the AZURE_* variables are not valid: {error}", hint="fix or unset them, then run: az login"
        ) from error
    return credential


def attempts_of(message: str) -> str | None:
    """The SDK's report on a chain that failed, on one line; None if `message` is not such a report.

    Names every credential that was tried, with the reason for those that are set up but failed.
    """
    attempts = _ATTEMPT.findall(message)
    if not attempts:
        return None
    return "tried " + ", ".join(_attempt(name, reason) for name, reason in attempts)


def _attempt(name: str, reason: str) -> str:
    if not reason or _NOT_SET_UP.search(reason):
        return name
    return f"{name} ({reason[:_REASON_CHARACTERS].rstrip('.')})"
