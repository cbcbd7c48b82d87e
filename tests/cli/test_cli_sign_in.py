"""Nobody is signed in, or not to the right place: what is said, the exit code, and no secret anywhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.azure.arm_stand_in import Answer, ArmStandIn
from tests.cli.command import User
from tests.cli.trained_folder import make_adapter, make_base

from remora.azure.credentials import attempts_of
from remora.cli.commands.init import init_project

SECRET = "verySecretValue~1"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    make_base(root)
    make_adapter(root, "tone")
    init_project(root, force=False)
    return root


def azure_user(tmp_path: Path, **settings: str) -> User:
    """Somebody on a machine without any tool of Azure, whose cloud is Azure."""
    tools = {"PATH": str(tmp_path), "HOME": str(tmp_path), "REMORA_CLOUD": "azure"}
    return User(tmp_path / "home", {**tools, **settings})


def test_without_any_credential_the_way_to_sign_in_is_told(project: Path, tmp_path: Path) -> None:
    ran = azure_user(tmp_path, AZURE_TOKEN_CREDENTIALS="dev").run("provision", str(project), "--yes")
    assert ran.code == 4
    assert "az login" in ran.message
    assert "tried" in ran.message
    assert "AzureCliCredential" in ran.message
    assert "\n" not in ran.message
    assert "Attempted credentials" not in ran.stderr  # the SDK's own words stay out


def test_a_secret_that_is_refused_is_never_shown(project: Path, tmp_path: Path) -> None:
    settings = {
        "AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential",
        "AZURE_TENANT_ID": "../not a tenant",
        "AZURE_CLIENT_ID": "somebody",
        "AZURE_CLIENT_SECRET": SECRET,
    }
    ran = azure_user(tmp_path, **settings).run("provision", str(project), "--yes")
    assert ran.code == 4
    assert SECRET not in json.dumps(ran.document) + ran.stderr


def test_those_that_are_set_up_say_why_they_failed() -> None:
    report = (
        "DefaultAzureCredential failed to retrieve a token.\nAttempted credentials:\n"
        "\tEnvironmentCredential: EnvironmentCredential authentication unavailable. Nothing is set.\n"
        "Visit https://example.test\n"
        "\tAzureCliCredential: Please run 'az login' to set up an account\n"
        "To mitigate this issue, look it up"
    )
    reason = "Please run 'az login' to set up an account"
    assert attempts_of(report) == f"tried EnvironmentCredential, AzureCliCredential ({reason})"
    assert attempts_of("AuthorizationFailed: no") is None


@pytest.mark.parametrize(
    ("code", "status", "exit_code", "hint"),
    [
        ("SubscriptionNotFound", 404, 4, "az login --tenant"),
        ("InvalidAuthenticationTokenTenant", 401, 4, "az login --tenant"),
        ("ExpiredAuthenticationToken", 401, 4, "az login"),
        ("AuthorizationFailed", 403, 5, "Contributor"),
        ("SomethingNew", 500, 6, "run the command again"),
    ],
)
def test_what_arm_says_is_kept_and_so_is_the_way_out(
    project: Path, tmp_path: Path, code: str, status: int, *, exit_code: int, hint: str
) -> None:
    (project / "infra" / "inference.config.json").write_text(
        json.dumps(
            {
                "SUBSCRIPTION_ID": "11111111-2222-3333-4444-555555555555",
                "RESOURCE_GROUP_NAME": "g",
                "STORAGE_ACCOUNT_NAME": "files",
                "FILE_SHARE_NAME": "share",
                "ACA_APP_NAME": "web",
                "ACA_APP_ENDPOINT": None,
            }
        )
    )
    error = {"error": {"code": code, "message": "in ARM's own words"}}
    with ArmStandIn() as arm:
        arm.answers |= {
            ("GET", "healthz"): Answer(200, {}),
            ("GET", "resourcegroups/g/providers/microsoft.app/containerapps/web"): Answer(status, error),
        }
        home = stand_in_home(arm, tmp_path)
        ran = User(home).run("status", str(project))
    assert ran.code == exit_code
    assert f"{code}: in ARM's own words" in ran.message
    assert hint in ran.message


def test_a_subscription_that_is_not_visible_names_those_that_are(project: Path, tmp_path: Path) -> None:
    mine = {"subscriptionId": "mine", "displayName": "Mine", "state": "Enabled"}
    with ArmStandIn() as arm:
        arm.answers |= {
            ("GET", "healthz"): Answer(200, {}),
            ("GET", "subscriptions"): Answer(200, {"value": [mine]}),
        }
        user = User(stand_in_home(arm, tmp_path))
        ran = user.run("provision", str(project), "--subscription", "other", "--yes")
        assert arm.changes() == []
    assert ran.code == 2
    assert "'other'" in ran.message
    assert "mine" in ran.message


def stand_in_home(arm: ArmStandIn, folder: Path) -> Path:
    """A home whose local cloud is the scripted one."""
    cloud = folder / "home" / "cloud"
    cloud.mkdir(parents=True)
    connection = {"pid": 0, "arm_url": arm.url, "files_url": arm.url, "token": "token"}
    (cloud / "connection.json").write_text(json.dumps(connection))
    return folder / "home"
