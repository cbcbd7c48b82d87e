"""The first answer to a PUT of an app: what was sent, without the defaults that later answers show.

Pure: documents in, documents out. Takes only what the checks have accepted.
"""

from __future__ import annotations

from typing import Any, Final

from containerapps_emulator.apps.documents.containers import resources_with_defaults
from containerapps_emulator.apps.documents.defaults import mode_of
from containerapps_emulator.apps.documents.ingress import NULLS, transport_of
from containerapps_emulator.state import Json

# Known only once the work is done.
LATER: Final = (
    "eventStreamEndpoint",
    "latestReadyRevisionName",
    "latestRevisionFqdn",
    "latestRevisionName",
    "runningStatus",
)
INGRESS: Final = ("fqdn", "external", "targetPort", "exposedPort", "traffic", "allowInsecure", *NULLS)
SCALE: Final = ("minReplicas", "maxReplicas", "cooldownPeriod", "pollingInterval")
TEMPLATE: Final = ("revisionSuffix", "terminationGracePeriodSeconds", "serviceBinds")
CONFIGURATION: Final = (
    "targetLabel",
    "revisionTransitionThreshold",
    "registries",
    "dapr",
    "runtime",
    "service",
)
BUILT_OR_PULLED: Final = "CloudBuild"
"""The kind of every image of which the sender says nothing."""


def first_answer(sent: Json, shown: Json) -> Json:
    """The properties that are answered first, of those that were sent and those that later answers show."""
    return {
        **{name: value for name, value in shown.items() if name not in LATER},
        "configuration": _configuration(sent.get("configuration") or {}, shown["configuration"]),
        "template": _template(sent.get("template") or {}),
    }


def _configuration(sent: Json, shown: Json) -> Json:
    secrets = sent.get("secrets")
    return {
        **{name: sent.get(name) for name in CONFIGURATION},
        "secrets": secrets and shown["secrets"],
        "activeRevisionsMode": mode_of(sent),
        "identitySettings": sent.get("identitySettings") or [],
        "ingress": _ingress(sent["ingress"]) if sent.get("ingress") else None,
        "maxInactiveRevisions": shown["maxInactiveRevisions"],
    }


def _ingress(sent: Json) -> Json:
    return {
        **{name: _given(sent.get(name)) for name in INGRESS},
        "fqdn": None,
        "transport": transport_of(sent),
        "external": bool(sent.get("external")),
        "allowInsecure": bool(sent.get("allowInsecure")),
    }


def _template(sent: Json) -> Json:
    return {
        **{name: sent.get(name) for name in TEMPLATE},
        "containers": [_container(item) for item in sent.get("containers") or ()],
        "initContainers": [_container(item) for item in sent.get("initContainers") or ()] or None,
        "scale": _scale(sent["scale"]) if sent.get("scale") else None,
        "volumes": _given(sent.get("volumes")),
    }


def _container(sent: Json) -> Json:
    container: Json = {"imageType": BUILT_OR_PULLED, **_given(sent)}
    if resources := container.get("resources"):
        container["resources"] = {**resources_with_defaults(resources), **_as_sent(resources)}
    return container


def _as_sent(resources: Json) -> Json:
    return {name: value for name, value in resources.items() if name in ("cpu", "memory")}


def _scale(sent: Json) -> Json:
    return {**{name: sent.get(name) for name in SCALE}, "rules": _given(sent.get("rules"))}


def _given(sent: Any) -> Any:
    """Without the nulls inside of it, which clients write for what they do not mean."""
    if isinstance(sent, dict):
        return {name: _given(value) for name, value in sent.items() if value is not None}
    return [_given(item) for item in sent] if isinstance(sent, list) else sent
