"""What Container Apps makes of the properties that a client sent: refusals first, then its defaults.

Pure: documents in, documents out. The names of the checks' errors are Azure's where they are known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from remora.localcloud.apps.template_defaults import not_emulated, template_with_defaults
from remora.localcloud.apps.traffic_defaults import traffic_with_defaults
from remora.localcloud.arm.resource import ArmError
from remora.localcloud.state import Json

APP_NAME: Final = re.compile(r"[a-z]([a-z0-9]|-(?!-)){0,31}(?<!-)")
MOST_INACTIVE_REVISIONS: Final = 100
CONFIGURATION_NULLS: Final = ("secrets", "registries", "dapr", "service")
INGRESS_NULLS: Final = (
    "customDomains",
    "ipSecurityRestrictions",
    "corsPolicy",
    "clientCertificateMode",
    "stickySessions",
    "additionalPortMappings",
)


def check_name(name: str) -> None:
    if not APP_NAME.fullmatch(name):
        raise ArmError(
            400,
            "ContainerAppInvalidName",
            f"Invalid ContainerApp name '{name}'. A name must consist of lower case alphanumeric characters"
            " or '-', start with a letter, end with an alphanumeric character and cannot have '--'. The"
            " length must not be more than 32 characters.",
        )


def with_defaults(properties: Json, former_secrets: Iterable[Json] = ()) -> Json:
    """The properties to store. A secret that comes without its value keeps the one it had."""
    environment = properties.get("environmentId") or properties.get("managedEnvironmentId")
    if not environment:
        raise ArmError(400, "ContainerAppInvalidEnvironmentId", "properties.environmentId is required.")
    configuration = _configuration(properties.get("configuration") or {}, former_secrets)
    template = template_with_defaults(properties.get("template") or {})
    _check_secret_references(template, configuration)
    return {
        "managedEnvironmentId": environment,
        "environmentId": environment,
        "workloadProfileName": properties.get("workloadProfileName") or "Consumption",
        "configuration": configuration,
        "template": template,
    }


def essence(template: Json) -> Any:
    """What two templates must share to be the same revision: nulls, '' and empty lists mean nothing."""
    return _dense({name: value for name, value in template.items() if name != "revisionSuffix"})


def _dense(value: Any) -> Any:
    if isinstance(value, dict):
        items = ((name, _dense(item)) for name, item in value.items())
        return {name: item for name, item in items if item not in (None, "", [], {})}
    return [_dense(item) for item in value] if isinstance(value, list) else value


def _configuration(sent: Json, former_secrets: Iterable[Json]) -> Json:
    mode = (sent.get("activeRevisionsMode") or "Single").capitalize()
    if mode not in ("Single", "Multiple"):
        raise ArmError(
            400, "InvalidRequestContent", f"activeRevisionsMode '{mode}' is not one of Single, Multiple."
        )
    kept = sent.get("maxInactiveRevisions")
    if kept is not None and not 0 <= kept <= MOST_INACTIVE_REVISIONS:
        raise ArmError(
            400,
            "InvalidRequestContent",
            f"maxInactiveRevisions is {kept}, must be between 0 and {MOST_INACTIVE_REVISIONS}.",
        )
    return {
        **sent,
        **{name: sent.get(name) for name in CONFIGURATION_NULLS},
        "secrets": _secrets(sent.get("secrets"), former_secrets),
        "activeRevisionsMode": mode,
        "ingress": _ingress(sent["ingress"]) if sent.get("ingress") else None,
        "maxInactiveRevisions": MOST_INACTIVE_REVISIONS if kept is None else kept,
    }


def _secrets(sent: list[Json] | None, former: Iterable[Json]) -> list[Json] | None:
    if not sent:
        return None
    values = {item["name"]: item.get("value") for item in former}
    secrets = []
    for item in sent:
        value = item.get("value", values.get(item.get("name")))
        if not item.get("name") or value is None:
            message = f"Secret '{item.get('name')}' has no value."
            raise ArmError(400, "ContainerAppSecretInvalid", message)
        secrets.append({"name": item["name"], "value": value})
    return secrets


def _ingress(sent: Json) -> Json:
    transport = (sent.get("transport") or "auto").capitalize()
    if transport == "Tcp":
        raise not_emulated("TCP ingress")
    affinity = (sent.get("stickySessions") or {}).get("affinity") or "none"
    if affinity not in ("none", "sticky"):
        message = f"stickySessions.affinity '{affinity}' is not one of none, sticky."
        raise ArmError(400, "InvalidRequestContent", message)
    return {
        **sent,
        **{name: sent.get(name) for name in INGRESS_NULLS},
        "external": bool(sent.get("external")),
        "targetPort": sent.get("targetPort"),
        "exposedPort": sent.get("exposedPort") or 0,
        "transport": transport,
        "traffic": traffic_with_defaults(sent.get("traffic")),
        "allowInsecure": bool(sent.get("allowInsecure")),
    }


def _check_secret_references(template: Json, configuration: Json) -> None:
    known = {item["name"] for item in configuration["secrets"] or ()}
    for container in template["containers"]:
        for variable in container.get("env", ()):
            reference = variable.get("secretRef")
            if reference and reference not in known:
                raise ArmError(
                    400,
                    "ContainerAppSecretRefNotFound",
                    f"SecretRef '{reference}' defined for container '{container['name']}' not found.",
                )
