"""The deployment of the project's template: what it would be, whether it is needed, carrying it out.

A deployment whose template and parameters are those of the last one is skipped: its fingerprint is a
tag on the deployment itself, so any machine can tell.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from remora.azure.apps import ContainerApp
from remora.azure.deployment import (
    DEPLOYMENT_NAME,
    Progress,
    follow_deployment,
    is_running,
    read_deployment,
    start_deployment,
)
from remora.azure.existing import with_existing
from remora.azure.failures import described, explained
from remora.azure.named import share_exists
from remora.azure.profile import Clients
from remora.errors import DeploymentNotFound, Locked, ProvisioningFailed, Refused

_FINGERPRINT_TAG = "remora-fingerprint"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A deployment that is ready to start, or one that is not needed because `outputs` are there already.

    `resource_ids` are the resources it is about, where the group exists. `running`: the cloud is at work on
    this very deployment.
    """

    body: Json
    outputs: Mapping[str, str] | None
    resource_ids: tuple[str, ...]
    running: bool


@dataclass(frozen=True, slots=True)
class Provisioned:
    """The template's outputs, and whether anything had to be done for them."""

    outputs: Mapping[str, str]
    changed: bool


def prepare(clients: Clients, group: str, template: Json, parameters: Mapping[str, Any]) -> Prepared:
    """What deploying the template into the group means. Changes nothing; the group may not exist yet.

    `parameters` are the user's (name → value, without nulls). An app that exists keeps its API key,
    environment and scale, an environment its other workload profiles. Raises Refused (ARM
    does not accept it) or Locked (another deployment is at work).
    """
    fingerprint = _fingerprint(template, parameters)
    previous = read_deployment(clients, group)
    same = previous is not None and (previous.get("tags") or {}).get(_FINGERPRINT_TAG) == fingerprint
    if is_running(previous):
        if not same:
            raise Locked(
                f"another deployment is at work in {group!r}", hint="run the command again when it has ended"
            )
        return Prepared({}, None, (), running=True)
    if previous is not None and same and _still_stands(clients, group, previous):
        return Prepared({}, _outputs(previous), _made(previous), running=False)
    resource_ids = _validated(clients, group, _body(template, parameters, fingerprint))
    declared = template.get("parameters", {})
    values = with_existing(clients, group, resource_ids, parameters, declared)
    return Prepared(_body(template, values, fingerprint), None, resource_ids, running=False)


def provision(clients: Clients, group: str, prepared: Prepared, progress: Progress) -> Provisioned:
    """Deploy into the group (incremental) what was prepared, and return the outputs.

    Raises ProvisioningFailed with the resource that failed and Azure's reason.
    """
    if prepared.outputs is not None:
        return Provisioned(prepared.outputs, changed=False)
    if not prepared.running:
        start_deployment(clients, group, prepared.body)
    return Provisioned(_outputs(follow_deployment(clients, group, progress)), changed=True)


def _fingerprint(template: Json, parameters: Mapping[str, Any]) -> str:
    text = json.dumps([template, dict(parameters)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _still_stands(clients: Clients, group: str, deployment: Json) -> bool:
    """Whether a deployment succeeded, and neither its app nor its share was deleted since."""
    if deployment["properties"].get("provisioningState") != "Succeeded":
        return False
    outputs = _outputs(deployment)
    app, account, share = (
        outputs.get(key) for key in ("ACA_APP_NAME", "STORAGE_ACCOUNT_NAME", "FILE_SHARE_NAME")
    )
    if app is None or not ContainerApp(clients, group, app).exists():
        return False
    return account is None or share is None or share_exists(clients, group, account, share)


def _body(template: Json, values: Mapping[str, Any], fingerprint: str) -> Json:
    return {
        "properties": {
            "mode": "Incremental",
            "template": template,
            "parameters": {name: {"value": value} for name, value in values.items()},
        },
        "tags": {_FINGERPRINT_TAG: fingerprint},
    }


def _validated(clients: Clients, group: str, body: Json) -> tuple[str, ...]:
    """Ids of the resources, once ARM has looked the deployment through; none where there is no group yet."""
    operations = clients.deployments.deployments
    try:
        with explained(f"looking the template over in {group!r}"):
            document: Json = operations.begin_validate(group, DEPLOYMENT_NAME, body).result().as_dict()
    except DeploymentNotFound:
        return ()
    except ProvisioningFailed as error:
        raise Refused(error.message, hint="mend infra/provision; nothing was changed") from error
    if document.get("error"):
        raise Refused(
            f"looking the template over in {group!r}: {described(document['error'])}",
            hint="mend infra/provision; nothing was changed",
        )
    found = document["properties"].get("validatedResources") or ()
    return tuple(str(item["id"]) for item in found)


def _made(deployment: Json) -> tuple[str, ...]:
    """Ids of what a deployment was about."""
    return tuple(str(item["id"]) for item in deployment["properties"].get("outputResources") or ())


def _outputs(deployment: Json) -> dict[str, str]:
    """Name → value. ARM respells output names (`acA_APP_NAME`); ours are all capitals."""
    outputs = deployment["properties"].get("outputs") or {}
    return {name.upper(): str(entry["value"]) for name, entry in outputs.items()}
