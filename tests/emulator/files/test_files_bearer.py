"""Tokens of an identity: for what they are valid, and what a client reads in a refusal to ask for another."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.core.pipeline.transport import RequestsTransport
from azure.storage.fileshare import ShareServiceClient, generate_share_sas
from tests.emulator.files.conftest import ACCOUNT, TENANT, USER

from containerapps_emulator.storage.access.bearer import INTENT

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


def service_of(server: Any, credential: Credential, **options: Any) -> Any:
    options = {"token_intent": "backup", "retry_total": 0, "transport": Plain(), **options}
    url = f"{server.url.replace('http:', 'https:')}/{server.account}"
    return ShareServiceClient(url, credential=credential, **options)


def shares(server: Any, credential: Credential, **options: Any) -> list[str]:
    """Their names, asked for with the token."""
    with service_of(server, credential, **options) as service:
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


NOW = datetime.now(UTC)
LATER = timedelta(hours=1)


def key(server: Any, **options: Any) -> Any:
    """A user delegation key that the identity asks for."""
    with service_of(server, Credential()) as service:
        return service.get_user_delegation_key(**{"start": NOW, "expiry": NOW + LATER, **options})


def listed(server: Any, token: str, **headers: str) -> httpx.Response:
    url = f"{server.url}/{server.account}/models?restype=directory&comp=list&{token}"
    return httpx.get(url, headers=headers)


def token_of(server: Any, signing: Any, **options: Any) -> str:
    options = {"permission": "rl", "expiry": NOW + LATER, **options}
    return str(generate_share_sas(server.account, "models", "", user_delegation_key=signing, **options))


def test_a_user_delegation_key_signs_tokens(server: Any, share: Any, start_server: Any) -> None:
    first = key(server)
    assert (first.signed_oid, first.signed_tid, first.signed_service) == (USER, TENANT, "f")
    assert first.value == key(server).value != key(server, expiry=NOW + 2 * LATER).value
    token = token_of(server, first)
    assert listed(server, token).status_code == 200
    assert listed(start_server(), token).status_code == 200


@pytest.mark.parametrize(
    ("field", "other"),
    [("skoid", TENANT), ("ske", "2099-01-01T00:00:00Z"), ("sks", "b"), ("sv", "2026-01-01")],
)
def test_a_token_of_another_key_is_refused(server: Any, share: Any, field: str, other: str) -> None:
    fields = dict(httpx.QueryParams(token_of(server, key(server))))
    answer = listed(server, str(httpx.QueryParams({**fields, field: other})))
    assert (answer.status_code, answer.headers["x-ms-error-code"]) == (403, "AuthenticationFailed")


def test_a_key_ends_before_the_tokens_that_it_signs(server: Any, share: Any) -> None:
    token = token_of(server, key(server), expiry=NOW + 9 * LATER)
    server.clock.skew_seconds = 2 * LATER.total_seconds()
    assert "The token expired" in listed(server, token).text


def test_a_token_for_one_user_needs_that_users_own(server: Any, share: Any) -> None:
    signing = key(server, delegated_user_tid=TENANT)
    assert signing.signed_delegated_user_tid == TENANT
    headers = {"authorization": f"Bearer {ANY}", INTENT: "backup"}
    for user, status in ((USER, 200), (TENANT, 403)):
        token = token_of(server, signing, user_delegation_oid=user)
        assert listed(server, token, **headers).status_code == status
        assert listed(server, token).status_code == 403
    elsewhere = token_of(server, key(server, delegated_user_tid=USER), user_delegation_oid=USER)
    assert listed(server, elsewhere, **headers).status_code == 403


def test_who_has_no_bearer_token_gets_no_key(server: Any, share: Any) -> None:
    with server.service() as service, pytest.raises(HttpResponseError) as refused:
        service.get_user_delegation_key(start=NOW, expiry=NOW + LATER)
    assert refused.value.error_code == "AuthenticationFailed"
    for options in ({"expiry": NOW + timedelta(days=8)}, {"expiry": NOW - LATER}, {"start": NOW + 2 * LATER}):
        with pytest.raises(HttpResponseError) as refused:
            key(server, **options)
        assert refused.value.error_code == "InvalidXmlNodeValue"


@pytest.mark.parametrize(
    ("info", "code"),
    [
        ("<Expiry>soon</Expiry>", "InvalidXmlNodeValue"),
        ("", "InvalidXmlNodeValue"),
        ("<Other/>", "InvalidXmlDocument"),
    ],
)
def test_a_wrong_request_for_a_key_is_refused(server: Any, info: str, code: str) -> None:
    url = f"{server.url}/{ACCOUNT}?restype=service&comp=userdelegationkey"
    headers = {"authorization": f"Bearer {ANY}"}
    answer = httpx.post(url, headers=headers, content=f"<KeyInfo>{info}</KeyInfo>")
    assert answer.headers["x-ms-error-code"] == code
