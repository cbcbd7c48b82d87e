"""What Container Apps makes of the secrets and registries of a configuration: refusals, and values kept.

Pure: documents in, documents out. The names of the errors are Azure's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from containerapps_emulator.apps.documents.refusals import not_emulated
from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.state import Json

NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,251}[a-z0-9])?")
SERVER: Final = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[0-9]{1,5})?(/[-\w./]*)?")


def kept_secrets(sent: list[Json] | None, former: Iterable[Json]) -> list[Json] | None:
    """The secrets to store. One that comes without its value keeps the one it had. Raises ArmError."""
    values = {item["name"]: item.get("value") for item in former}
    secrets = [_secret(item, values) for item in sent or ()]
    names = [item["name"] for item in secrets]
    for name in names:
        if names.count(name) > 1:
            raise ArmError(
                400,
                "ContainerAppSecretNameDuplicate",
                f"Container app secret name '{name}' is given {names.count(name)} times; names are unique.",
            )
    return secrets or None


def check_registries(sent: list[Json] | None, secrets: Iterable[Json]) -> None:
    """Refuse a registry whose server is no host, or whose password is no secret of the app."""
    known = {item["name"] for item in secrets}
    for item in sent or ():
        server = item.get("server") or ""
        if not SERVER.fullmatch(server):
            raise ArmError(
                400,
                "ContainerAppInvalidRegistryServerValue",
                f"Property 'registries.server' has an invalid value '{server}'. A value consists of a"
                " hostname and a custom port, if there is one; the hostname of lower case alphanumeric"
                " characters, '-' or '.'.",
            )
        reference = item.get("passwordSecretRef")
        if reference and reference not in known:
            raise ArmError(
                400,
                "ContainerAppRegistriesPasswordSecretRefNotFound",
                f"PasswordSecretRef '{reference}' defined for registry server '{server}' not found.",
            )


def _secret(item: Json, former: Json) -> Json:
    name, value = item.get("name") or "", item.get("value")
    if not NAME.fullmatch(name):
        raise ArmError(
            400,
            "ContainerAppInvalidSecretName",
            f"Secret name has an invalid value '{name}'. A value must consist of lower case alphanumeric"
            " characters, '-', and must start and end with an alphanumeric character. The length must not be"
            " more than 253 characters.",
        )
    if item.get("keyVaultUrl") or item.get("identity"):
        raise not_emulated(f"Key Vault, which secret '{name}' refers to")
    value = former.get(name) if value is None else value
    if not value:
        raise ArmError(
            400,
            "ContainerAppSecretInvalid",
            f"Invalid Request: Container app secret(s) with name(s) '{name}' are invalid: value or"
            " keyVaultUrl and identity should be provided.",
        )
    return {"name": name, "value": value}
