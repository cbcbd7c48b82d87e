"""Shared access signatures, made by Microsoft's generators: what they open, and what they do not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.storage.fileshare import (
    AccessPolicy,
    ShareClient,
    ShareFileClient,
    ShareServiceClient,
    generate_account_sas,
    generate_file_sas,
    generate_share_sas,
)

# From when the tests are collected, and it may be hours until the last of them runs.
LATER = datetime.now(UTC) + timedelta(days=1)


def account_token(server: Any, key: str = "", **wanted: Any) -> str:
    asked = {"resource_types": "sco", "permission": "rwdlc", "expiry": LATER, **wanted}
    return str(generate_account_sas(server.account, key or server.key, **asked))


def share_token(server: Any, **wanted: Any) -> str:
    return str(generate_share_sas(server.account, "models", server.key, **{"expiry": LATER, **wanted}))


def opened(server: Any, token: str) -> Any:
    return ShareClient(f"{server.url}/{server.account}", "models", credential=token, retry_total=0)


def code_of(act: Callable[[], Any]) -> str:
    with pytest.raises(HttpResponseError) as refused:
        act()
    assert refused.value.status_code == 403
    code = refused.value.error_code
    return str(getattr(code, "value", code))


def test_an_account_token_opens_the_account(server: Any, share: Any) -> None:
    service = ShareServiceClient(f"{server.url}/{server.account}", credential=account_token(server))
    assert [item.name for item in service.list_shares()] == ["models"]
    other = service.create_share("other")
    other.get_file_client("a").upload_file(b"abc")
    assert other.get_file_client("a").download_file().readall() == b"abc"
    other.delete_share()


def test_a_share_token_opens_what_is_in_the_share(server: Any, share: Any) -> None:
    client = opened(server, share_token(server, permission="rwdlc"))
    client.create_directory("d é")
    client.get_file_client("d é/a b").upload_file(b"abc")
    assert [item["name"] for item in client.list_directories_and_files("d é")] == ["a b"]
    client.get_file_client("d é/a b").rename_file("b")
    client.get_file_client("b").delete_file()
    assert code_of(client.delete_share) == "AuthorizationFailure"
    assert code_of(client.get_share_properties) == "AuthorizationFailure"


def test_a_file_token_opens_one_file(server: Any, share: Any) -> None:
    share.create_directory("d")
    for name in ("d/a b.txt", "d/other"):
        share.get_file_client(name).upload_file(b"abc")
    token = generate_file_sas(
        server.account, "models", ["d", "a b.txt"], server.key, permission="r", expiry=LATER
    )

    def file(path: str) -> Any:
        return ShareFileClient(f"{server.url}/{server.account}", "models", path, credential=token)

    assert file("d/a b.txt").download_file().readall() == b"abc"
    assert code_of(file("d/a b.txt").delete_file) == "AuthorizationPermissionMismatch"
    assert code_of(file("d/other").get_file_properties) == "AuthenticationFailed"


@pytest.mark.parametrize(
    ("permission", "allowed"),
    [("r", {"read"}), ("c", {"create"}), ("w", {"create", "write"}), ("d", {"delete"}), ("l", {"list"})],
)
def test_a_permission_is_for_its_operations(
    server: Any, share: Any, permission: str, allowed: set[str]
) -> None:
    share.get_file_client("a").upload_file(b"abc")
    client = opened(server, share_token(server, permission=permission))
    acts: dict[str, Callable[[], Any]] = {
        "read": lambda: client.get_file_client("a").download_file().readall(),
        "create": lambda: client.get_file_client("b").create_file(3),
        "write": lambda: client.get_file_client("a").upload_range(b"abc", 0, 3),
        "list": lambda: list(client.list_directories_and_files()),
        "delete": lambda: client.get_file_client("a").delete_file(),
    }
    for name, act in acts.items():
        if name in allowed:
            act()
        else:
            assert code_of(act) == "AuthorizationPermissionMismatch", name


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"expiry": datetime.now(UTC) - timedelta(seconds=1)}, "AuthenticationFailed"),
        ({"start": LATER}, "AuthenticationFailed"),
        ({"key": "b3RoZXI="}, "AuthenticationFailed"),
        ({"protocol": "https"}, "AuthorizationProtocolMismatch"),
        ({"ip": "10.0.0.1"}, "AuthorizationSourceIPMismatch"),
        ({"ip": "10.0.0.1-10.0.0.9"}, "AuthorizationSourceIPMismatch"),
        ({"resource_types": "o"}, "AuthorizationResourceTypeMismatch"),
        ({"resource_types": "s"}, "AuthorizationResourceTypeMismatch"),
        ({"permission": "rwdc"}, "AuthorizationPermissionMismatch"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_token_that_does_not_fit_says_why(
    server: Any, share: Any, wanted: dict[str, Any], code: str
) -> None:
    client = opened(server, account_token(server, **wanted))
    assert code_of(lambda: list(client.list_directories_and_files())) == code


@pytest.mark.parametrize(
    "wanted", [{"ip": "127.0.0.1"}, {"ip": "127.0.0.0-127.0.0.9"}, {"protocol": "https,http"}]
)
def test_where_a_token_fits_it_opens(server: Any, share: Any, wanted: dict[str, Any]) -> None:
    assert not list(opened(server, account_token(server, **wanted)).list_directories_and_files())


def test_time_runs_out(server: Any, share: Any) -> None:
    client = opened(server, share_token(server, permission="l"))
    list(client.list_directories_and_files())
    server.clock.skew_seconds = 86_500
    with pytest.raises(ClientAuthenticationError):
        list(client.list_directories_and_files())


def test_any_change_to_a_token_breaks_it(server: Any, share: Any) -> None:
    token = share_token(server, permission="r")
    url = f"{server.url}/{server.account}/models?restype=directory&"
    assert httpx.get(url + token).status_code == 200
    for old, new in (("sp=r", "sp=rw"), ("sr=s", "sr=f"), ("sv=20", "sv=19"), ("sig=", "sig=A")):
        assert old in token
        answer = httpx.get(url + token.replace(old, new))
        assert (answer.status_code, answer.headers["x-ms-error-code"]) == (403, "AuthenticationFailed")


@pytest.mark.parametrize(
    "query",
    ["sig=x", "sig=%C3%A9&sr=s", "sig=x&ss=f&srt=o&sv=2026-01-01", "sig=x&sr=s&sv=2026-01-01&skoid=a"],
)
def test_half_a_token_is_refused(server: Any, share: Any, query: str) -> None:
    answer = httpx.get(f"{server.url}/{server.account}/models?restype=directory&{query}")
    assert (answer.status_code, answer.headers["x-ms-error-code"]) == (403, "AuthenticationFailed")


def test_a_stored_policy_gives_a_token_its_rights_and_takes_them(server: Any, share: Any) -> None:
    share.set_share_access_policy({"readers": AccessPolicy(permission="rl", expiry=LATER)})
    stored = share.get_share_access_policy()["signed_identifiers"]
    assert [(item.id, item.access_policy.permission) for item in stored] == [("readers", "rl")]
    client = opened(server, generate_share_sas(server.account, "models", server.key, policy_id="readers"))
    assert not list(client.list_directories_and_files())
    assert code_of(lambda: client.create_directory("d")) == "AuthorizationPermissionMismatch"
    share.set_share_access_policy({})
    assert code_of(lambda: list(client.list_directories_and_files())) == "AuthenticationFailed"


def test_a_token_can_set_headers_of_the_answer(server: Any, share: Any) -> None:
    share.get_file_client("a").upload_file(b"abc")
    token = share_token(server, permission="r", content_type="text/x-mine", content_disposition="inline")
    answer = httpx.get(f"{server.url}/{server.account}/models/a?{token}")
    assert (answer.headers["content-type"], answer.headers["content-disposition"]) == (
        "text/x-mine",
        "inline",
    )
    broken = share_token(server, permission="r", content_type="text/x\r\nset-cookie: a=b")
    answer = httpx.get(f"{server.url}/{server.account}/models/a?{broken}")
    assert answer.status_code == 400
    assert "set-cookie" not in answer.headers
