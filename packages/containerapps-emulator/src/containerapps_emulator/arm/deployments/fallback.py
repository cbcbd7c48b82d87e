"""`onErrorDeployment`: chooses the earlier deployment to run again after a failure. Runs nothing itself."""

from __future__ import annotations

from typing import Any

from containerapps_emulator.arm.deployments.preparation import Request
from containerapps_emulator.arm.deployments.record import DeploymentRecord, DeploymentStore
from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.state import Json

_LAST, _NAMED = "LastSuccessful", "SpecificDeployment"


def fallback(request: Request, store: DeploymentStore) -> Json:
    """The property that a deployment shows: `{"onErrorDeployment": …}`, or nothing. Raises ArmError."""
    wanted: Any = request.properties.get("onErrorDeployment")
    if wanted is None:
        return {}
    kind = wanted.get("type") if isinstance(wanted, dict) else wanted
    if kind == _LAST:
        name = _last_successful(request, store)
    elif kind == _NAMED and store.get(request.place.group, str(wanted.get("deploymentName"))) is not None:
        name = wanted["deploymentName"]
    elif kind == _NAMED:
        raise _missing(f"the deployment '{wanted.get('deploymentName')}'")
    else:
        raise ArmError(
            400, "InvalidRequestContent", f"The 'onErrorDeployment' '{kind}' is not {_LAST} or {_NAMED}."
        )
    return {"onErrorDeployment": {"type": kind, "deploymentName": name}}


def fallback_of(record: DeploymentRecord, store: DeploymentStore) -> DeploymentRecord | None:
    """The deployment to run again instead, if the failed one names one that still exists."""
    shown = record.properties.get("onErrorDeployment")
    return None if shown is None else store.get(record.group, shown["deploymentName"])


def _last_successful(request: Request, store: DeploymentStore) -> str:
    ended = [
        record
        for record in store.below(request.place.group)
        if record.properties["provisioningState"] == "Succeeded" and record.name != request.name
    ]
    if not ended:
        raise _missing("a deployment that succeeded")
    return max(ended, key=lambda record: str(record.properties["timestamp"])).name


def _missing(what: str) -> ArmError:
    message = f"The 'onErrorDeployment' cannot be used: {what} could not be found."
    return ArmError(404, "DeploymentNotFound", message)
