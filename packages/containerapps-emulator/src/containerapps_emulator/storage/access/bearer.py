"""Bearer tokens of an identity, as Azure Files take them. What the identity may do with files is a matter of
its roles, which are not checked here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from containerapps_emulator.storage.errors import FilesError

AUDIENCE: Final = "https://storage.azure.com"
INTENT: Final = "x-ms-file-request-intent"


def challenge(tenant_id: str) -> str:
    """What a refused client reads to ask for a token that is valid here."""
    login = f"https://login.microsoftonline.com/{tenant_id}/oauth2/authorize"
    return f"Bearer authorization_uri={login} resource_id={AUDIENCE}"


def check_bearer(audience: str, account: str, *, known: bool) -> None:
    """Raise FilesError unless a token for this audience may ask. `known`: there is such an account."""
    if not known:
        raise FilesError("AuthenticationFailed", "There is no such storage account here.")
    if audience.rstrip("/") not in (AUDIENCE, f"https://{account}.file.core.windows.net"):
        raise FilesError("InvalidAuthenticationInfo", f"The token is not valid for {AUDIENCE}.")


def check_intent(headers: Mapping[str, str]) -> None:
    """Raise FilesError unless a request with a bearer token says that it reads and writes like a backup."""
    intent = headers.get(INTENT)
    if intent is None:
        raise FilesError("MissingRequiredHeader", f"A bearer token needs the header {INTENT}: backup.")
    if intent.lower() != "backup":
        raise FilesError("InvalidHeaderValue", f"{INTENT}: {intent}")
