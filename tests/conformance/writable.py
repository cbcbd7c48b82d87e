"""Every writable property of a resource type by Microsoft's types, with a sample, and what becomes of it.

Owns the walk and the list of properties that are acted upon; the page and the test are made from both.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from tests.conformance import evidence

from containerapps_emulator.apps.documents.defaults import with_defaults
from containerapps_emulator.apps.documents.environment import environment_with_defaults, shown_environment
from containerapps_emulator.apps.documents.jobs import job_with_defaults
from containerapps_emulator.apps.documents.shapes import CONTAINER_APP, ENVIRONMENT, JOB
from containerapps_emulator.arm.resources.resource import ArmError, ResourceId
from containerapps_emulator.arm.shapes import checked_properties
from containerapps_emulator.state import Json

VERSION: Final = "2025-07-01"
TYPES: Final = evidence.folder() / "types" / "microsoft.app" / VERSION / "types.json"
READ_ONLY: Final = 2

# What a sample needs beside it, or the value of a property that is more than its type says.
SAMPLES: Final[dict[str, Any]] = {
    "activeRevisionsMode": "Multiple",
    "cpu": 0.5,
    "cronExpression": "0 0 * * *",
    "customDomains[].name": "a.example.com",
    "image": "nginx",
    "memory": "1Gi",
    "minReplicas": 1,
    "mountPath": "/mnt",
    "name": "sample",
    "secretRef": "secret",
    "passwordSecretRef": "secret",
    "server": "registry.io",
    "transport": "http",
    "triggerType": "Manual",
    "volumeName": "sample",
    "weight": 100,
    "revisionSuffix": "sample",
    "scheme": "HTTP",
    "concurrentRequests": "10",
}
BESIDE: Final[dict[str, Json]] = {
    "configuration.secrets[]": {"name": "sample", "value": "x"},
    "configuration.registries[]": {"server": "registry.io"},
    "configuration.ingress.traffic[]": {"latestRevision": True, "weight": 100},
    "configuration.ingress.customDomains[]": {"name": "a.example.com"},
    "configuration.eventTriggerConfig": {"parallelism": 1},
    "configuration.scheduleTriggerConfig": {"cronExpression": "0 0 * * *"},
    "template.containers[]": {"name": "main", "image": "nginx"},
    "template.containers[].env[]": {"name": "SAMPLE"},
    "template.containers[].probes[]": {"type": "Readiness", "httpGet": {"port": 80}},
    "template.containers[].probes[].httpGet": {"port": 80},
    "template.containers[].probes[].httpGet.httpHeaders[]": {"name": "a", "value": "b"},
    "template.containers[].volumeMounts[]": {"volumeName": "sample", "mountPath": "/mnt"},
    "template.initContainers[]": {"name": "before", "image": "nginx"},
    "template.initContainers[].env[]": {"name": "SAMPLE"},
    "template.initContainers[].volumeMounts[]": {"volumeName": "sample", "mountPath": "/mnt"},
    "template.scale.rules[]": {"name": "sample"},
    "template.volumes[]": {"name": "sample"},
    "template.volumes[].secrets[]": {"secretRef": "secret"},
}
# The item that a property belongs to, where it cannot stand beside what the others have.
INSTEAD: Final[dict[str, Json]] = {
    "configuration.ingress.traffic[].revisionName": {"weight": 100},
    "template.scale.rules[].name": {"http": {"metadata": {"concurrentRequests": "10"}}},
}
# Never answered: keys and passwords, and the id that is only another word for `environmentId`.
HIDDEN: Final = (
    "appLogsConfiguration.logAnalyticsConfiguration.sharedKey",
    "customDomainConfiguration.certificatePassword",
    "customDomainConfiguration.certificateValue",
    "daprAIConnectionString",
    "daprAIInstrumentationKey",
    "managedEnvironmentId",
)


class Fate(Enum):
    """What becomes of a property that a client writes."""

    ACTED_UPON = "acted upon"
    STORED = "stored"
    REFUSED = "refused"
    DROPPED = "dropped"  # a fault


@dataclass(frozen=True, slots=True)
class Kind:
    """A resource type: how a sample is stored and shown, and the beginnings of what is acted upon."""

    type: str
    shown: Callable[[str, Any], Json]
    """(path, value) → the properties as they are answered. Raises ArmError."""
    acted_upon: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    path: str
    fate: Fate
    why: str = ""  # of a refusal


def outcomes(kind: Kind) -> Iterator[Outcome]:
    """What becomes of each writable property of the type."""
    for path, value in writable(kind.type).items():
        try:
            shown = kind.shown(path, value)
        except ArmError as error:
            yield Outcome(path, Fate.REFUSED, error.code)
            continue
        kept = path in HIDDEN or str(value_at(shown, path)).lower() == str(value).lower()
        acts = any(path == item or path.startswith((f"{item}.", f"{item}[]")) for item in kind.acted_upon)
        yield Outcome(path, Fate.DROPPED if not kept else Fate.ACTED_UPON if acts else Fate.STORED)


def writable(resource_type: str) -> dict[str, Any]:
    """The path and a sample of each property below `properties` that a client may write."""
    types = json.loads(TYPES.read_text())

    def resolve(reference: Json) -> Json:
        found: Json = types[int(reference["$ref"][2:])]
        return found

    def walk(kind: Json, path: str, depth: int) -> Iterator[tuple[str, Any]]:
        if kind["$type"] == "ObjectType" and kind.get("properties"):
            for name, item in kind["properties"].items():
                if not item.get("flags", 0) & READ_ONLY and depth < 8:
                    yield from walk(resolve(item["type"]), f"{path}.{name}" if path else name, depth + 1)
        elif kind["$type"] == "ArrayType" and resolve(kind["itemType"])["$type"] == "ObjectType":
            yield from walk(resolve(kind["itemType"]), f"{path}[]", depth)
        else:
            yield path, sample(kind, path)

    def sample(kind: Json, path: str) -> Any:
        name, longer = path.rpartition(".")[2], ".".join(path.split(".")[-2:])
        if longer in SAMPLES or name in SAMPLES:
            return SAMPLES.get(longer, SAMPLES.get(name))
        if kind["$type"] == "UnionType":
            literals = [resolve(item) for item in kind["elements"]]
            return next((item["value"] for item in literals if "value" in item), "sample")
        plain = {"BooleanType": True, "IntegerType": 1, "ArrayType": ["sample"], "ObjectType": {"a": "b"}}
        return plain.get(kind["$type"], "sample")

    wanted = f"{resource_type}@{VERSION}".lower()
    (body,) = (item["body"] for item in types if str(item.get("name", "")).lower() == wanted)
    properties = resolve(resolve(body)["properties"]["properties"]["type"])
    return dict(walk(properties, "", 0))


def with_value(path: str, value: Any) -> Json:
    """A document with the value at the path, and what it needs beside it."""
    document: Any = value
    parts = path.split(".")
    for count in range(len(parts), 0, -1):
        name, prefix = parts[count - 1], ".".join(parts[:count])
        if name.endswith("[]"):
            document = [{**INSTEAD.get(path, BESIDE.get(prefix, {})), **document}]
        elif isinstance(document, dict) and count < len(parts):
            document = {**BESIDE.get(prefix, {}), **document}
        document = {name.removesuffix("[]"): document}
    return dict(document)


def value_at(document: Any, path: str) -> Any:
    for name in path.split("."):
        document = document.get(name.removesuffix("[]")) if isinstance(document, dict) else None
        if name.endswith("[]"):
            document = document[0] if document else None
    return document


def _app(path: str, value: Any) -> Json:
    base: Json = {
        "environmentId": "/env",
        "configuration": {"secrets": [{"name": "secret", "value": "x"}], "ingress": {"targetPort": 80}},
        "template": _TEMPLATE,
    }
    sent = _overlaid(base, with_value(path, value))
    return with_defaults(checked_properties({"properties": sent}, CONTAINER_APP))


def _job(path: str, value: Any) -> Json:
    triggers = {"schedule": "Schedule", "event": "Event"}
    trigger = next((word for name, word in triggers.items() if f".{name}Trigger" in path), "Manual")
    secrets = [{"name": "secret", "value": "x"}]
    configuration = {"triggerType": trigger, "replicaTimeout": 60, "secrets": secrets}
    base: Json = {"environmentId": "/env", "configuration": configuration, "template": _TEMPLATE}
    sent = _overlaid(base, with_value(path, value))
    return job_with_defaults(checked_properties({"properties": sent}, JOB))


def _environment(path: str, value: Any) -> Json:
    environment = ResourceId("s", "g", "Microsoft.App/managedEnvironments", ("env",))
    sent = checked_properties({"properties": with_value(path, value)}, ENVIRONMENT)
    return shown_environment(environment_with_defaults(sent, None), environment, "eastus")


def _overlaid(base: Any, more: Any) -> Any:
    if isinstance(base, dict) and isinstance(more, dict):
        return {**base, **{name: _overlaid(base.get(name), item) for name, item in more.items()}}
    return more


_TEMPLATE: Final[Json] = {
    "containers": [{"name": "main", "image": "nginx"}],
    "volumes": [{"name": "sample", "storageType": "EmptyDir"}],
}
_CONTAINER: Final = ("name", "command", "args", "env", "resources.cpu", "resources.memory", "volumeMounts")
_IN_TEMPLATE: Final = (
    *(f"template.{kind}[].{name}" for kind in ("containers", "initContainers") for name in _CONTAINER),
    *(f"template.volumes[].{name}" for name in ("name", "storageType", "storageName", "secrets")),
)
KINDS: Final = (
    Kind(
        "Microsoft.App/containerApps",
        _app,
        (
            *("environmentId", "managedEnvironmentId", "workloadProfileName", *_IN_TEMPLATE),
            *(f"configuration.{name}" for name in ("activeRevisionsMode", "maxInactiveRevisions", "secrets")),
            *(f"configuration.ingress.{name}" for name in ("targetPort", "traffic", "stickySessions")),
            *("template.containers[].probes", "template.revisionSuffix"),
            *("template.terminationGracePeriodSeconds", "template.scale.minReplicas"),
            *(f"template.scale.{name}" for name in ("maxReplicas", "cooldownPeriod")),
            *(f"template.scale.rules[].{name}" for name in ("name", "http.metadata")),
            *(f"template.scale.rules[].custom.{name}" for name in ("type", "metadata")),
        ),
    ),
    Kind(
        "Microsoft.App/jobs",
        _job,
        (
            *("environmentId", "workloadProfileName", "configuration.secrets", *_IN_TEMPLATE),
            *(f"configuration.{name}" for name in ("triggerType", "replicaTimeout", "replicaRetryLimit")),
            *(f"configuration.{name}TriggerConfig" for name in ("manual", "schedule")),
        ),
    ),
    Kind(
        "Microsoft.App/managedEnvironments",
        _environment,
        ("workloadProfiles", "appLogsConfiguration.logAnalyticsConfiguration.customerId"),
    ),
)
