"""What Container Apps makes of the properties that a client sent: refusals first, then its defaults.

Pure: documents in, documents out. The names of the checks' errors are Azure's where they are known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from remora.localcloud.arm.resource import ArmError
from remora.localcloud.state import Json

INVALID: Final = "InvalidParameterValueInContainerTemplate"
SUFFIX: Final = re.compile(r"[a-z]([a-z0-9]|-(?!-))*(?<!-)")
APP_NAME: Final = re.compile(r"[a-z]([a-z0-9]|-(?!-)){0,31}(?<!-)")
PROBE_RANGES: Final = {
    "initialDelaySeconds": (0, 60),
    "periodSeconds": (1, 240),
    "timeoutSeconds": (1, 240),
    "successThreshold": (1, 10),
    "failureThreshold": (1, 48),
}
# An app with these runs on Azure and not here; better refused than half emulated.
NOT_EMULATED: Final = {
    "tcp": "TCP ingress",
    "Secret": "volumes of storageType Secret",
    "HTTPS": "HTTPS probes",
}
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
    template = _template(properties.get("template") or {})
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
    return {
        **sent,
        **{name: sent.get(name) for name in CONFIGURATION_NULLS},
        "secrets": _secrets(sent.get("secrets"), former_secrets),
        "activeRevisionsMode": mode,
        "ingress": _ingress(sent["ingress"]) if sent.get("ingress") else None,
        "maxInactiveRevisions": 100 if kept is None else kept,
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
    if transport.lower() in NOT_EMULATED:
        raise _not_emulated(transport.lower())
    traffic = sent.get("traffic") or [{"weight": 100, "latestRevision": True}]
    total = sum(item.get("weight") or 0 for item in traffic)
    if total != 100:
        message = f"The weights in configuration.ingress.traffic add up to {total}, not to 100."
        raise ArmError(400, "ContainerAppTrafficWeightsInvalid", message)
    return {
        **sent,
        **{name: sent.get(name) for name in INGRESS_NULLS},
        "external": bool(sent.get("external")),
        "targetPort": sent.get("targetPort"),
        "exposedPort": sent.get("exposedPort") or 0,
        "transport": transport,
        "traffic": [{name: value for name, value in item.items() if value is not None} for item in traffic],
        "allowInsecure": bool(sent.get("allowInsecure")),
    }


def _template(sent: Json) -> Json:
    containers = sent.get("containers") or []
    if len(containers) != 1 or sent.get("initContainers"):
        raise ArmError(
            400, INVALID, f"The template has {len(containers)} containers and"
            f" {len(sent.get('initContainers') or [])} init containers; the local cloud runs one container."
        )  # fmt: skip
    suffix = sent.get("revisionSuffix") or ""
    if suffix and not SUFFIX.fullmatch(suffix):
        raise ArmError(
            400,
            "ContainerAppInvalidRevisionName",
            f"Revision name has an invalid value '{suffix}'. A revision name must consist of lower case"
            " alphanumeric characters or '-', start with an alphabetic character, and end with an"
            " alphanumeric character.",
        )
    volumes = sent.get("volumes") or None
    for volume in volumes or ():
        if (kind := volume.get("storageType") or "EmptyDir") not in ("AzureFile", "EmptyDir"):
            raise _not_emulated(kind)
    return {
        **sent,
        "revisionSuffix": suffix,
        "terminationGracePeriodSeconds": sent.get("terminationGracePeriodSeconds"),
        "containers": [_container(containers[0], {volume["name"] for volume in volumes or ()})],
        "initContainers": None,
        "scale": _scale(sent.get("scale") or {}),
        "volumes": volumes,
        "serviceBinds": sent.get("serviceBinds"),
    }


def _container(sent: Json, volumes: set[str]) -> Json:
    for name in ("name", "image"):
        if not sent.get(name):
            raise ArmError(400, INVALID, f"Field 'template.containers[0].{name}' is required.")
    container = {name: value for name, value in sent.items() if value is not None}
    for mount in container.get("volumeMounts", ()):
        if mount.get("volumeName") not in volumes:
            raise ArmError(
                400, INVALID, f"Volume '{mount.get('volumeName')}' is mounted and not in template.volumes."
            )
        path = mount.get("mountPath") or ""
        if not path.startswith("/") or ".." in f"{path}/{mount.get('subPath') or ''}".split("/"):
            raise ArmError(
                400, INVALID, f"Mount path '{path}' of volume '{mount['volumeName']}' is not absolute."
            )
    for probe in container.get("probes", ()):
        _check_probe(probe)
    return {**container, "resources": _resources(sent.get("resources") or {})}


def _check_probe(probe: Json) -> None:
    kind, http = probe.get("type"), probe.get("httpGet")
    target = http or probe.get("tcpSocket")
    if kind not in ("Liveness", "Readiness", "Startup") or not target or not target.get("port"):
        raise ArmError(400, INVALID, f"Probe '{kind}' needs a type and an httpGet or tcpSocket with a port.")
    if http and (http.get("scheme") or "HTTP").upper() == "HTTPS":
        raise _not_emulated("HTTPS")
    for name, (least, most) in PROBE_RANGES.items():
        value = probe.get(name)
        if value is not None and not least <= value <= most:
            message = f"{kind} probe: {name} is {value}, must be between {least} and {most}."
            raise ArmError(400, INVALID, message)


def _resources(sent: Json) -> Json:
    memory = str(sent.get("memory") or "1Gi")
    return {
        **sent,
        "cpu": sent.get("cpu") or 0.5,
        "memory": memory.replace(".0Gi", "Gi"),
        "ephemeralStorage": "2Gi",
    }


def _scale(sent: Json) -> Json:
    least, most = sent.get("minReplicas"), sent.get("maxReplicas") or 10
    if (least or 0) < 0 or (least or 0) > most:
        raise ArmError(400, INVALID, f"scale.minReplicas {least} is not between 0 and maxReplicas {most}.")
    return {
        "minReplicas": least,
        "maxReplicas": most,
        "cooldownPeriod": sent.get("cooldownPeriod") or 300,
        "pollingInterval": sent.get("pollingInterval") or 30,
        "rules": sent.get("rules") or None,
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


def _not_emulated(what: str) -> ArmError:
    return ArmError(400, "NotEmulated", f"The local cloud does not emulate {NOT_EMULATED.get(what, what)}.")
