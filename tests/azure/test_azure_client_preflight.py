"""Before a deployment: what would fail is refused with the reason, and nothing was changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.azure.arm_stand_in import SUBSCRIPTION, Answer, ArmStandIn

from remora.azure.profile import Clients
from remora.azure.provisioning.gpus import check_gpus
from remora.azure.provisioning.groups import create_group
from remora.azure.provisioning.preflight import check_storage, missing_providers, register_provider
from remora.azure.provisioning.template import Wanted
from remora.errors import Refused

T4 = "Consumption-GPU-NC8as-T4"
TEMPLATE: dict[str, Any] = {
    "parameters": {"profile": {"type": "string", "defaultValue": "Consumption"}},
    "resources": [
        {"type": "Microsoft.Storage/storageAccounts", "name": "x"},
        {
            "type": "Microsoft.App/managedEnvironments",
            "properties": {"workloadProfiles": [{"workloadProfileType": "[parameters('profile')]"}]},
        },
    ],
}
PROFILES = "providers/microsoft.app/locations/westus3/availablemanagedenvironmentsworkloadprofiletypes"
USAGES = "providers/microsoft.app/locations/westus3/usages"


def wanted(**parameters: Any) -> Wanted:
    return Wanted("g", "westus3", TEMPLATE, parameters)


@pytest.fixture
def arm() -> Iterator[ArmStandIn]:
    with ArmStandIn() as arm:
        arm.answers |= {
            ("GET", "providers/microsoft.app"): provider("Microsoft.App", "managedEnvironments"),
            ("GET", "providers/microsoft.storage"): provider("Microsoft.Storage", "storageAccounts"),
            ("GET", PROFILES): Answer(200, {"value": [{"name": T4}, {"name": "NC96-A100"}, {"name": "D4"}]}),
            ("GET", USAGES): usages(SubscriptionConsumptionT4Gpus=(1, 4), SubscriptionNCA100Gpus=(0, 4)),
        }
        yield arm
        assert arm.changes() == []


def provider(namespace: str, kind: str, *, state: str = "Registered", region: str = "West US 3") -> Answer:
    kinds = [{"resourceType": kind, "locations": [region], "apiVersions": []}]
    return Answer(200, {"namespace": namespace, "registrationState": state, "resourceTypes": kinds})


def usages(**used: tuple[int, int]) -> Answer:
    """Quota → (in use, limit)."""
    found = [
        {"unit": "Count", "name": {"value": name}, "currentValue": current, "limit": limit}
        for name, (current, limit) in used.items()
    ]
    return Answer(200, {"value": found})


def test_without_gpus_nothing_is_asked(arm: ArmStandIn) -> None:
    assert check_gpus(arm.clients(), wanted()) == []
    assert arm.asked == []


def test_enough_quota_for_what_is_asked(arm: ArmStandIn) -> None:
    assert check_gpus(arm.clients(), wanted(profile=T4, maximumInstanceCount=2)) == []


def test_just_enough_quota_leaves_none_for_an_update(arm: ArmStandIn) -> None:
    (warning,) = check_gpus(arm.clients(), wanted(profile=T4, maximumInstanceCount=3))
    assert "interrupts service" in warning


@pytest.mark.parametrize(("profile", "count", "needed", "left"), [(T4, 4, 4, 3), ("NC96-A100", 2, 8, 4)])
def test_too_little_quota_is_refused_with_the_numbers(
    arm: ArmStandIn, profile: str, count: int, needed: int, left: int
) -> None:
    with pytest.raises(Refused, match=f"need {needed} GPUs.* has {left} of 4 left"):
        check_gpus(arm.clients(), wanted(profile=profile, maximumInstanceCount=count))


def test_a_region_without_the_profile_is_refused_naming_what_it_has(arm: ArmStandIn) -> None:
    with pytest.raises(Refused, match=f"NC24-A100.*{T4}, NC96-A100") as caught:
        check_gpus(arm.clients(), wanted(profile="NC24-A100"))
    assert "--location" in caught.value.hint


def test_what_the_cloud_does_not_tell_is_a_warning(arm: ArmStandIn) -> None:
    del arm.answers["GET", PROFILES], arm.answers["GET", USAGES]
    assert len(check_gpus(arm.clients(), wanted(profile=T4))) == 2
    arm.answers["GET", USAGES] = usages()
    assert any(
        "SubscriptionConsumptionT4Gpus" in text for text in check_gpus(arm.clients(), wanted(profile=T4))
    )


def environment_of(profile: str) -> tuple[tuple[str, ...], Answer]:
    path = "resourceGroups/g/providers/Microsoft.App/managedEnvironments/env"
    profiles = [{"name": "GPU", "workloadProfileType": profile}]
    document = {"name": "env", "properties": {"workloadProfiles": profiles}}
    return (f"/subscriptions/{SUBSCRIPTION}/{path}",), Answer(200, document)


def test_gpus_that_the_environment_has_already_need_no_new_quota(arm: ArmStandIn) -> None:
    ids, answer = environment_of(T4)
    arm.answers["GET", "resourcegroups/g/providers/microsoft.app/managedenvironments/env"] = answer
    arm.answers["GET", USAGES] = usages(SubscriptionConsumptionT4Gpus=(4, 4))
    again = Wanted("g", "westus3", TEMPLATE, {"profile": T4}, ids)
    assert check_gpus(arm.clients(), again) == []
    more = Wanted("g", "westus3", TEMPLATE, {"profile": T4, "maximumInstanceCount": 5}, ids)
    with pytest.raises(Refused, match="need 5 GPUs"):
        check_gpus(arm.clients(), more)


def test_a_profile_cannot_change_its_kind(arm: ArmStandIn) -> None:
    ids, answer = environment_of("NC24-A100")
    arm.answers["GET", "resourcegroups/g/providers/microsoft.app/managedenvironments/env"] = answer
    with pytest.raises(Refused, match=f"NC24-A100.*cannot change it to {T4}"):
        check_gpus(arm.clients(), Wanted("g", "westus3", TEMPLATE, {"profile": T4}, ids))


def test_providers_that_are_not_registered_are_found(arm: ArmStandIn) -> None:
    assert missing_providers(arm.clients(), wanted()) == []
    unregistered = provider("Microsoft.App", "managedEnvironments", state="NotRegistered")
    arm.answers["GET", "providers/microsoft.app"] = unregistered
    assert missing_providers(arm.clients(), wanted()) == ["Microsoft.App"]


def test_a_registration_is_waited_for(arm: ArmStandIn) -> None:
    states = iter(["Registering", "Registering", "Registered"])
    arm.answers |= {
        ("POST", "providers/microsoft.app/register"): Answer(200, {"namespace": "Microsoft.App"}),
        ("GET", "providers/microsoft.app"): lambda _: provider("Microsoft.App", "x", state=next(states)),
    }
    told: list[str] = []
    register_provider(arm.clients(), "Microsoft.App", told.append)
    assert told == ["Microsoft.App: Registering"] * 2


def test_a_region_without_the_service_is_refused(arm: ArmStandIn) -> None:
    arm.answers["GET", "providers/microsoft.app"] = provider(
        "Microsoft.App", "managedEnvironments", region="East US"
    )
    with pytest.raises(Refused, match=r"'westus3' has no Microsoft\.App/managedEnvironments"):
        missing_providers(arm.clients(), wanted())


def test_a_storage_account_that_forbids_keys_is_refused(arm: ArmStandIn) -> None:
    account = "resourcegroups/g/providers/microsoft.storage/storageaccounts/files"
    arm.answers["GET", account] = Answer(200, {"properties": {"allowSharedKeyAccess": False}})
    with pytest.raises(Refused, match="allowSharedKeyAccess"):
        check_storage(arm.clients(), wanted(storageAccountName="files"))
    arm.answers["GET", account] = Answer(200, {"properties": {"allowSharedKeyAccess": True}})
    check_storage(arm.clients(), wanted(storageAccountName="files"))


def test_a_storage_account_name_that_is_taken_is_refused(arm: ArmStandIn) -> None:
    taken = {"nameAvailable": False, "reason": "AlreadyExists", "message": "The name is already taken."}
    check = ("POST", "providers/microsoft.storage/checknameavailability")
    arm.answers[check] = Answer(200, taken)
    with pytest.raises(Refused, match="'files' cannot be created: The name is already taken"):
        check_storage(arm.clients(), wanted(storageAccountName="files"))
    arm.answers[check] = Answer(200, {"nameAvailable": True})
    check_storage(arm.clients(), wanted(storageAccountName="files"))


def test_the_local_cloud_answers_the_same_questions(clients: Clients) -> None:
    create_group(clients, "Preflight", "westus3")
    here = Wanted("Preflight", "westus3", TEMPLATE, {"storageAccountName": "freename123"})
    assert missing_providers(clients, here) == []
    check_storage(clients, here)
    body = {"location": "westus3", "kind": "StorageV2", "sku": {"name": "Standard_LRS"}}
    body["properties"] = {"allowSharedKeyAccess": False}
    clients.storage.storage_accounts.begin_create("Preflight", "keyless", body).result()
    with pytest.raises(Refused, match="'keyless' forbids"):
        check_storage(clients, Wanted("Preflight", "westus3", TEMPLATE, {"storageAccountName": "keyless"}))
    with pytest.raises(Refused, match="'keyless' cannot be created"):
        check_storage(clients, Wanted("other", "westus3", TEMPLATE, {"storageAccountName": "keyless"}))
