"""Tokens of an identity: for what they are valid, and what a client reads in a refusal to ask for another."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.fileshare import ShareServiceClient
from tests.localcloud.files.conftest import ACCOUNT, TENANT

from remora.localcloud.storage.access.bearer import INTENT

ANY = "https://storage.azure.com"


class Credential:
    """A token is what it is for."""

    def __init__(self, audience: str | None = None) -> None:
        self.audience = audience
        self.asked: list[str] = []

    def get_token(self, scope: str, **_: Any) -> AccessToken:
        self.asked.append(scope)
        return AccessToken(self.audience or scope.removesuffix("/.default"), int(time.time()) + 3600)


class Plain(RequestsTransport):  # type: ignore[misc]
    """Sends by HTTP what the client believes to send by HTTPS, without which it sends no token."""

    def send(self, request: Any, **options: Any) -> Any:
        request.url = request.url.replace("https:", "http:")
        return super().send(request, **options)


def shares(server: Any, credential: Credential, **options: Any) -> list[str]:
    """Their names, asked for with the token."""
    options = {"token_intent": "backup", "retry_total": 0, "transport": Plain(), **options}
    url = f"{server.url.replace('http:', 'https:')}/{server.account}"
    with ShareServiceClient(url, credential=credential, **options) as service:
        return [item.name for item in service.list_shares()]


@pytest.mark.parametrize("audience", [ANY, f"{ANY}/", f"https://{ACCOUNT}.file.core.windows.net"])
def test_a_token_is_for_storage_or_for_the_account(server: Any, share: Any, audience: str) -> None:
    credential = Credential()
    assert shares(server, credential, audience=audience) == ["models"]
    assert credential.asked == [f"{audience.rstrip('/')}/.default"]


def test_a_client_with_a_wrong_audience_asks_for_the_right_one(server: Any, share: Any) -> None:
    credential = Credential()
    assert shares(server, credential, audience="https://otheraccount.file.core.windows.net") == ["models"]
    assert credential.asked[1:] == [f"{ANY}/.default"]


def test_a_token_that_is_not_valid_is_challenged(server: Any, share: Any) -> None:
    with pytest.raises(ClientAuthenticationError) as refused:
        shares(server, Credential("https://management.azure.com"))
    assert refused.value.error_code == "InvalidAuthenticationInfo"
    answer = httpx.get(f"{server.url}/{ACCOUNT}?comp=list", headers={"authorization": "Bearer x"})
    assert answer.headers["www-authenticate"] == (
        f"Bearer authorization_uri=https://login.microsoftonline.com/{TENANT}/oauth2/authorize"
        " resource_id=https://storage.azure.com"
    )
    assert f"<AuthenticationErrorDetail>The token is not valid for {ANY}." in answer.text


@pytest.mark.parametrize(
    ("intent", "code"), [({}, "MissingRequiredHeader"), ({INTENT: "x"}, "InvalidHeaderValue")]
)
def test_a_token_needs_an_intent(server: Any, share: Any, intent: dict[str, str], code: str) -> None:
    headers = {"authorization": f"Bearer {ANY}", **intent}
    answer = httpx.get(f"{server.url}/{ACCOUNT}?comp=list", headers=headers)
    assert (answer.status_code, answer.headers["x-ms-error-code"]) == (400, code)
