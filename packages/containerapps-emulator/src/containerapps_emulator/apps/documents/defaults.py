"""What Container Apps makes of the properties that a client sent: refusals first, then its defaults.

Pure: documents in, documents out. The names of the checks' errors are Azure's where they are known.
"""

from __future__ import annotations

import re
from typing import Any, Final

from containerapps_emulator.apps.documents.ingress import ingress_with_defaults
from containerapps_emulator.apps.documents.refusals import SCHEMA, not_one_of
from containerapps_emulator.apps.documents.secrets import check_registries, kept_secrets
from containerapps_emulator.apps.documents.template_defaults import (
    check_secret_references,
    template_with_defaults,
)
from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.state import Json

APP_NAME: Final = re.compile(r"[a-z]([a-z0-9]|-(?!-)){0,31}(?<!-)")
MOST_INACTIVE_REVISIONS: Final = 100
MODES: Final = ("Single", "Multiple", "Labels")
CONFIGURATION_NULLS: Final = (
    "secrets",
    "registries",
    "dapr",
    "revisionTransitionThreshold",
    "runtime",
    "service",
)
PATCHING_MODES: Final = ("Automatic", "Manual", "Disabled")


def check_name(name: str) -> None:
    if not APP_NAME.fullmatch(name):
        raise ArmError(
            400,
            "ContainerAppInvalidName",
            f"Invalid ContainerApp name '{name}'. A name must consist of lower case alphanumeric characters"
            " or '-', start with a letter, end with an alphanumeric character and cannot have '--'. The"
            " length must not be more than 32 characters.",
        )


def with_defaults(properties: Json, former: Json | None = None) -> Json:
    """The properties to store, in place of the `former` ones. Raises ArmError."""
    environment = properties.get("environmentId") or properties.get("managedEnvironmentId")
    if not environment:
        raise ArmError(400, "ContainerAppInvalidEnvironmentId", "properties.environmentId is required.")
    configuration = _configuration(properties.get("configuration") or {}, former)
    template = template_with_defaults(properties.get("template") or {})
    check_secret_references(template, {item["name"] for item in configuration["secrets"] or ()})
    return {
        "managedEnvironmentId": environment,
        "environmentId": environment,
        "workloadProfileName": properties.get("workloadProfileName") or "Consumption",
        "patchingMode": _word("patchingMode", properties.get("patchingMode"), PATCHING_MODES),
        "configuration": configuration,
        "template": template,
    }


def essence(template: Json) -> Any:
    """What two templates must share to be the same revision: nulls, '' and empty lists mean nothing."""
    return _dense({name: value for name, value in template.items() if name != "revisionSuffix"})


def mode_of(configuration: Json) -> str:
    """activeRevisionsMode as Azure spells it. Raises ArmError for what is none."""
    return _word("activeRevisionsMode", configuration.get("activeRevisionsMode"), MODES)


def most_inactive(configuration: Json) -> int:
    """How many inactive revisions are kept: null, which an update may set, means the default."""
    kept = configuration.get("maxInactiveRevisions")
    return MOST_INACTIVE_REVISIONS if kept is None else int(kept)


def _dense(value: Any) -> Any:
    if isinstance(value, dict):
        items = ((name, _dense(item)) for name, item in value.items())
        return {name: item for name, item in items if item not in (None, "", [], {})}
    return [_dense(item) for item in value] if isinstance(value, list) else value


def _configuration(sent: Json, former: Json | None) -> Json:
    mode = mode_of(sent)
    kept = sent.get("maxInactiveRevisions")
    if kept is not None and not 0 <= kept <= MOST_INACTIVE_REVISIONS:
        raise ArmError(
            400,
            SCHEMA,
            f"maxInactiveRevisions is {kept}, must be between 0 and {MOST_INACTIVE_REVISIONS}.",
        )
    label = sent.get("targetLabel") or ""
    if mode == "Labels" and not (label and sent.get("ingress")):
        message = "activeRevisionsMode Labels needs configuration.ingress and configuration.targetLabel."
        raise ArmError(400, SCHEMA, message)
    known = ((former or {}).get("configuration") or {}).get("secrets") or ()
    secrets = kept_secrets(sent.get("secrets"), known)
    check_registries(sent.get("registries"), secrets or ())
    ingress = sent.get("ingress")
    return {
        **sent,
        **{name: sent.get(name) for name in CONFIGURATION_NULLS},
        "secrets": secrets,
        "activeRevisionsMode": mode,
        "targetLabel": label,
        "identitySettings": sent.get("identitySettings") or [],
        "ingress": ingress_with_defaults(ingress, labels=mode == "Labels") if ingress else None,
        # Only a new app is given the default.
        "maxInactiveRevisions": kept if former else most_inactive(sent),
    }


def _word(field: str, sent: str | None, known: tuple[str, ...]) -> str:
    """The word as Azure spells it; the first where none was sent."""
    found = (word for word in known if word.lower() == (sent or known[0]).lower())
    word = next(found, None)
    if word is None:
        raise not_one_of(field, sent, known)
    return word
