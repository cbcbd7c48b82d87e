"""The deployment of the project's template: prepares it, decides whether it is needed, and runs it.

Skips a deployment with the template and parameters of the last one: its fingerprint is a tag on the
deployment itself, so it works from any machine. Writes no project file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from remora.azure.app.apps import ContainerApp
from remora.azure.failures import described, explained
from remora.azure.profile import Clients
from remora.azure.provisioning.deployment import (
    DEPLOYMENT_NAME,
    Progress,
    follow_deployment,
    is_running,
    read_deployment,
    start_deployment,
)
from remora.azure.provisioning.existing import with_existing
from remora.azure.provisioning.leftovers import existed_tags
from remora.azure.provisioning.named import share_exists
from remora.errors import DeploymentNotFound, Locked, ProvisioningFailed, Refused
from remora.project.toolkit.config import FRONT_KEY

_FINGERPRINT_TAG = "remora-fingerprint"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A deployment that is ready to start, or one that is not needed because its `outputs` exist already.

    `resource_ids` are its resources, if the group exists. `running`: the cloud is running this same
    deployment already.
    """

    body: Json
    outputs: Mapping[str, str] | None
    resource_ids: tuple[str, ...]
    running: bool


@dataclass(frozen=True, slots=True)
class Provisioned:
    """The template's outputs, and whether a deployment was needed."""

    outputs: Mapping[str, str]
    changed: bool


def prepare(clients: Clients, group: str, template: Json, parameters: Mapping[str, Any]) -> Prepared:
    """Prepare a deployment of the template to the group, which may not exist yet. Changes nothing.

    `parameters` are the user's (name → value, without nulls). An existing app keeps its API key, environment
    and scale, an environment its other workload profiles. Raises Refused (ARM does not accept the
    deployment) or Locked (another deployment is running).
    """
    fingerprint = _fingerprint(template, parameters)
    previous = read_deployment(clients, group)
    same = previous is not None and (previous.get("tags") or {}).get(_FINGERPRINT_TAG) == fingerprint
    if is_running(previous):
        if not same:
            raise Locked(
                f"another deployment is running in {group!r}", hint="run the command again when it has ended"
            )
        return Prepared({}, None, (), running=True)
    if previous is not None and same and _still_stands(clients, group, previous):
        return Prepared({}, _outputs(previous), _made(previous), running=False)
    resource_ids = _validated(clients, group, _body(template, parameters, fingerprint))
    declared = template.get("parameters", {})
    values = with_existing(clients, group, resource_ids, parameters, declared)
    return Prepared(_body(template, values, fingerprint), None, resource_ids, running=False)


def provision(clients: Clients, group: str, prepared: Prepared, progress: Progress) -> Provisioned:
    """Run the prepared deployment in the group (incremental mode) and return the outputs.

    Raises ProvisioningFailed with the resource that failed and Azure's reason.
    """
    if prepared.outputs is not None:
        return Provisioned(prepared.outputs, changed=False)
    if not prepared.running:
        existed = existed_tags(clients, group)
        start_deployment(clients, group, {**prepared.body, "tags": {**prepared.body["tags"], **existed}})
    return Provisioned(_outputs(follow_deployment(clients, group, progress)), changed=True)


def _fingerprint(template: Json, parameters: Mapping[str, Any]) -> str:
    text = json.dumps([template, dict(parameters)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _still_stands(clients: Clients, group: str, deployment: Json) -> bool:
    """Whether a deployment succeeded, and its apps and share still exist."""
    if deployment["properties"].get("provisioningState") != "Succeeded":
        return False
    outputs = _outputs(deployment)
    app, account, share = (
        outputs.get(key) for key in ("ACA_APP_NAME", "STORAGE_ACCOUNT_NAME", "FILE_SHARE_NAME")
    )
    apps = [app, *filter(None, [outputs.get(FRONT_KEY)])]
    if app is None or not all(ContainerApp(clients, group, str(name)).exists() for name in apps):
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
    """Ids of the resources after ARM has validated the deployment; none if the group does not exist yet."""
    operations = clients.deployments.deployments
    try:
        with explained(f"validating the template in {group!r}"):
            document: Json = operations.begin_validate(group, DEPLOYMENT_NAME, body).result().as_dict()
    except DeploymentNotFound:
        return ()
    except ProvisioningFailed as error:
        raise Refused(error.message, hint="fix infra/provision; nothing was changed") from error
    if document.get("error"):
        raise Refused(
            f"validating the template in {group!r}: {described(document['error'])}",
            hint="fix infra/provision; nothing was changed",
        )
    found = document["properties"].get("validatedResources") or ()
    return tuple(str(item["id"]) for item in found)


def _made(deployment: Json) -> tuple[str, ...]:
    """Ids of a deployment's resources."""
    return tuple(str(item["id"]) for item in deployment["properties"].get("outputResources") or ())


def _outputs(deployment: Json) -> dict[str, str]:
    """Name → value. ARM changes the case of output names (`acA_APP_NAME`); Remora's are all capitals."""
    outputs = deployment["properties"].get("outputs") or {}
    return {name.upper(): str(entry["value"]) for name, entry in outputs.items()}
