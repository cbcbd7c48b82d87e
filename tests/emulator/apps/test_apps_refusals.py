"""What Azure refuses in the document of an app is refused here, with its code and the value."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.emulator.apps.cloud import Cloud, web_template
from tests.emulator.apps.test_apps_documents import properties

from containerapps_emulator.apps.documents.defaults import with_defaults
from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.state import Json

TEMPLATE = "InvalidParameterValueInContainerTemplate"
CONFIGURATION = "WebhookInvalidParameterValue"
SCHEMA = "ContainerAppInvalidSchema"
SECRET = "ContainerAppInvalidSecretName"


def container(**changes: Any) -> Json:
    template = web_template()
    template["containers"][0] |= changes
    return {"template": template}


def ingress(**given: Any) -> Json:
    return {"configuration": {"ingress": {"external": True, "targetPort": 80, **given}}}


def secrets(*given: Json, **more: Any) -> Json:
    return {"configuration": {"secrets": list(given), **more}}


def scale(**given: Any) -> Json:
    return {"template": web_template(scale=given)}


def secret_volume(name: str) -> Json:
    return {"name": "files", "storageType": "Secret", "secrets": [{"secretRef": name}]}


VALUES: dict[str, tuple[Json, str, str]] = {
    "no replicas": (scale(maxReplicas=0), TEMPLATE, '"0": must be between 1 and 1000'),
    "too many replicas": (scale(maxReplicas=1001), TEMPLATE, '"1001": must be between 1 and 1000'),
    "a negative cooldown": (scale(cooldownPeriod=-1), TEMPLATE, '"-1": must not be negative'),
    "a port beyond the last": (ingress(targetPort=70000), CONFIGURATION, '"70000": must be between 1 and'),
    "a negative exposed port": (ingress(exposedPort=-1), CONFIGURATION, '"-1": must be between 0 and'),
    "a transport": (ingress(transport="bogus"), SCHEMA, "ingress.transport 'bogus' is not one of Auto, Http"),
    "a mode of certificates": (ingress(clientCertificateMode="x"), SCHEMA, "'x' is not one of Ignore"),
    "a mode": ({"configuration": {"activeRevisionsMode": "Many"}}, SCHEMA, "'Many' is not one of Single"),
    "a patching mode": ({"patchingMode": "Never"}, SCHEMA, "'Never' is not one of Automatic"),
    "labels without ingress": (
        {"configuration": {"activeRevisionsMode": "Labels", "targetLabel": "a"}},
        SCHEMA,
        "Labels needs configuration.ingress",
    ),
    "an upper case secret": (secrets({"name": "UPPER", "value": "x"}), SECRET, "invalid value 'UPPER'"),
    "an underscore in a secret": (secrets({"name": "a_b", "value": "x"}), SECRET, "invalid value 'a_b'"),
    "a secret without a name": (secrets({"value": "x"}), SECRET, "invalid value ''"),
    "an empty secret": (
        secrets({"name": "a", "value": ""}),
        "ContainerAppSecretInvalid",
        "with name(s) 'a' are invalid",
    ),
    "a secret twice": (
        secrets({"name": "a", "value": "x"}, {"name": "a", "value": "y"}),
        "ContainerAppSecretNameDuplicate",
        "'a' is given 2 times",
    ),
    "a secret of Key Vault": (
        secrets({"name": "a", "keyVaultUrl": "https://vault"}),
        "NotEmulated",
        "Key Vault, which secret 'a' refers to",
    ),
    "a registry's secret": (
        secrets(registries=[{"server": "a.io", "username": "u", "passwordSecretRef": "none"}]),
        "ContainerAppRegistriesPasswordSecretRefNotFound",
        "PasswordSecretRef 'none' defined for registry server 'a.io' not found",
    ),
    "a registry's server": (
        secrets(registries=[{"server": "Bad Server"}]),
        "ContainerAppInvalidRegistryServerValue",
        "invalid value 'Bad Server'",
    ),
    "an image reference": (
        container(image="!! bad image"),
        TEMPLATE,
        "could not parse reference: !! bad image",
    ),
    "no image": (container(image=None), "ContainerAppImageRequired", "name 'main' must have an 'Image'"),
    "a container name": (container(name="Bad_Name"), TEMPLATE, '\'Invalid value: "Bad_Name": a lowercase'),
    "a secret of a volume": (
        {"template": web_template(volumes=[secret_volume("none")])},
        "ContainerAppSecretRefNotFound",
        "SecretRef 'none' defined for volume 'files'",
    ),
}


@pytest.mark.parametrize("case", VALUES)
def test_a_value_that_azure_refuses(case: str) -> None:
    changes, code, message = VALUES[case]
    with pytest.raises(ArmError, match=re.escape(message)) as refused:
        with_defaults(properties(**changes))
    assert (refused.value.status, refused.value.code) == (400, code)


def test_two_containers_of_one_name() -> None:
    template = web_template()
    template["initContainers"] = [template["containers"][0]]
    with pytest.raises(ArmError, match="2 containers have this name") as refused:
        with_defaults(properties(template=template))
    assert refused.value.code == TEMPLATE


@pytest.mark.parametrize(
    "image",
    [
        "nginx",
        "mcr.microsoft.com/k8se/quickstart:latest",
        "localhost:5000/a/b_c:1.0",
        "Registry.azurecr.io/app@sha256:" + "0" * 64,
    ],
)
def test_image_references_that_there_are(image: str) -> None:
    with_defaults(properties(**container(image=image)))


@pytest.mark.parametrize(
    ("place", "value"),
    [("external", "yes"), ("targetPort", "80"), ("allowInsecure", 1), ("exposedPort", 1.5)],
)
async def test_a_wrong_type_is_refused_in_azures_words(cloud: Cloud, place: str, value: Any) -> None:
    with pytest.raises(ArmError, match=rf"Container App schema: .*ingress\.{place}' must be") as refused:
        await cloud.deploy(configuration={"ingress": {"external": True, "targetPort": 80, place: value}})
    assert refused.value.code == SCHEMA
