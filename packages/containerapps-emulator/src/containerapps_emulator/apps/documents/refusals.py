"""The errors that several checks of Container Apps documents share, in Azure's words where they are known."""

from __future__ import annotations

from typing import Any, Final

from containerapps_emulator.arm.resources.resource import ArmError

IN_TEMPLATE: Final = "InvalidParameterValueInContainerTemplate"
IN_CONFIGURATION: Final = "WebhookInvalidParameterValue"
SCHEMA: Final = "ContainerAppInvalidSchema"


def not_emulated(what: str) -> ArmError:
    """An app with it runs on Azure and not here; better refused than half emulated."""
    return ArmError(400, "NotEmulated", f"The local cloud does not emulate {what}.")


def invalid(code: str, field: str, value: Any, why: str) -> ArmError:
    """A field with a value that it cannot have."""
    return ArmError(
        400,
        code,
        "The following field(s) are either invalid or missing."
        f" Field '{field}' is invalid with details: 'Invalid value: \"{value}\": {why}';.",
    )


def not_one_of(field: str, value: Any, known: tuple[str, ...]) -> ArmError:
    """A field with a word that is none of those it can have."""
    return ArmError(
        400,
        SCHEMA,
        "Invalid request body for container app. Does not conform to Container App schema:"
        f" {field} '{value}' is not one of {', '.join(known)}.",
    )


def check_range(code: str, name: str, value: Any, least: int, most: int) -> None:
    if value is not None and (not isinstance(value, int) or not least <= value <= most):
        raise ArmError(400, code, f"{name} is {value}, must be between {least} and {most}.")
