"""What Container Apps makes of the properties of a job that a client sent: refusals first, then its defaults.

Pure: documents in, documents out. The names of the checks' errors are Azure's where they are known.
"""

from __future__ import annotations

from typing import Final

from containerapps_emulator.apps.documents.cron import Cron
from containerapps_emulator.apps.documents.job_records import JobRecord
from containerapps_emulator.apps.documents.refusals import IN_CONFIGURATION, invalid, not_one_of
from containerapps_emulator.apps.documents.secrets import check_registries, kept_secrets
from containerapps_emulator.apps.documents.shapes import JOB
from containerapps_emulator.apps.documents.template_defaults import (
    check_secret_references,
    template_with_defaults,
)
from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.arm.shapes import checked_properties
from containerapps_emulator.state import Json

MANUAL: Final = "Manual"
SCHEDULE: Final = "Schedule"
EVENT: Final = "Event"
CONFIGS: Final = {
    MANUAL: "manualTriggerConfig",
    SCHEDULE: "scheduleTriggerConfig",
    EVENT: "eventTriggerConfig",
}
COUNTS: Final = ("replicaCompletionCount", "parallelism")
EVENT_SCALE: Final = {"minExecutions": 0, "maxExecutions": 100, "pollingInterval": 30, "rules": None}
LARGEST_NUMBER: Final = 2**31 - 1


def job_with_defaults(sent: Json, former: Json | None = None) -> Json:
    """The properties to store, in place of the `former` ones. Raises ArmError."""
    environment = sent.get("environmentId")
    if not environment:
        raise ArmError(400, "ContainerAppInvalidEnvironmentId", "properties.environmentId is required.")
    configuration = _configuration(sent.get("configuration") or {}, former)
    template = job_template(sent.get("template") or {})
    check_secret_references(template, {item["name"] for item in configuration["secrets"] or ()})
    return {
        "environmentId": environment,
        "workloadProfileName": sent.get("workloadProfileName") or "Consumption",
        "configuration": configuration,
        "template": template,
    }


def job_template(sent: Json) -> Json:
    """The template to store. Raises ArmError."""
    full = template_with_defaults(sent)
    kept = {name: value for name, value in sent.items() if value is not None}
    return {
        **kept,
        "containers": [_without_disk(item) for item in full["containers"]],
        "initContainers": [_without_disk(item) for item in full["initContainers"] or ()] or None,
        "volumes": full["volumes"],
    }


def started_template(job: JobRecord, body: Json) -> Json:
    """The template of one execution: the job's, with the containers that a start brings. Raises ArmError."""
    stored = job.template or {}
    sent = checked_properties({"properties": body.get("template") or body}, JOB["template"])
    changes = {name: sent[name] for name in ("containers", "initContainers") if sent.get(name)}
    if not changes:
        return stored
    template = job_template({**stored, **changes})
    check_secret_references(template, [item["name"] for item in job.settings.get("secrets") or ()])
    return template


def without_disks(template: Json) -> Json:
    """The template as it is answered while the job is made: the size of a disk comes later."""
    return {
        **template,
        **{
            kind: [_without(item, "ephemeralStorage") for item in template[kind]]
            for kind in ("containers", "initContainers")
            if template[kind]
        },
    }


def _without(container: Json, name: str) -> Json:
    resources = {key: value for key, value in container["resources"].items() if key != name}
    return {**container, "resources": resources}


def _configuration(sent: Json, former: Json | None) -> Json:
    trigger = _trigger(sent.get("triggerType"))
    timeout, retries = sent.get("replicaTimeout"), sent.get("replicaRetryLimit") or 0
    _check_number("replicaTimeout", timeout, 1, LARGEST_NUMBER)
    _check_number("replicaRetryLimit", retries, 0, LARGEST_NUMBER)
    known = ((former or {}).get("configuration") or {}).get("secrets") or ()
    secrets = kept_secrets(sent.get("secrets"), known)
    check_registries(sent.get("registries"), secrets or ())
    return {
        **sent,
        **dict.fromkeys(CONFIGS.values()),
        "secrets": secrets,
        "triggerType": trigger,
        "replicaTimeout": timeout,
        "replicaRetryLimit": retries,
        CONFIGS[trigger]: _trigger_config(trigger, sent.get(CONFIGS[trigger]) or {}),
        "registries": sent.get("registries"),
        "dapr": sent.get("dapr"),
        "identitySettings": sent.get("identitySettings") or [],
    }


def _trigger_config(trigger: str, sent: Json) -> Json:
    counts = {name: 1 if sent.get(name) is None else sent[name] for name in COUNTS}
    for name, value in counts.items():
        _check_number(f"{CONFIGS[trigger]}.{name}", value, 1, LARGEST_NUMBER)
    if trigger == SCHEDULE:
        _check_cron(sent.get("cronExpression"))
    if trigger == EVENT:
        scale = sent.get("scale") or {}
        given = {name: value for name, value in scale.items() if value is not None}
        return {**sent, **counts, "scale": {**EVENT_SCALE, **given}}
    return {**sent, **counts}


def _check_cron(expression: str | None) -> None:
    try:
        Cron.parse(expression or "")
    except ValueError:
        message = f"Given CRON expression - '{expression or ''}' is not valid: it has five fields, in UTC."
        raise ArmError(400, "InvalidCronExpression", message) from None


def _trigger(sent: str | None) -> str:
    found = next((word for word in CONFIGS if word.lower() == (sent or "").lower()), None)
    if found is None:
        raise not_one_of("configuration.triggerType", sent, tuple(CONFIGS))
    return found


def _check_number(name: str, value: int | None, least: int, most: int) -> None:
    if value is None or not least <= value <= most:
        why = f"must be between {least} and {most}, inclusive"
        raise invalid(IN_CONFIGURATION, f"configuration.{name}", value, why)


def _without_disk(container: Json) -> Json:
    """A job's containers are answered with no size of a disk."""
    return {**container, "resources": {**container["resources"], "ephemeralStorage": ""}}
