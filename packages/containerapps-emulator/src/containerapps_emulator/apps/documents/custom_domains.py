"""What Container Apps makes of `ingress.customDomains` that a client sent: refusals, then its defaults.

Pure: documents in, documents out. Whether a certificate exists is asked of the caller.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from containerapps_emulator.apps.documents.refusals import IN_CONFIGURATION, invalid, not_one_of
from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.state import Json

FIELD: Final = "configuration.ingress.customDomains"
HOST: Final = re.compile(
    r"(?=.{1,253}$)([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z]([-a-z0-9]{0,61}[a-z0-9])?"
)
BINDINGS: Final = ("Disabled", "SniEnabled", "Auto")


def domains_with_defaults(sent: list[Json] | None) -> list[Json] | None:
    """The domains to store; none at all where the list is empty. Raises ArmError."""
    domains = [_domain(item) for item in sent or ()]
    names = [item["name"].lower() for item in domains]
    for name in names:
        if names.count(name) > 1:
            raise invalid(IN_CONFIGURATION, FIELD, name, f"the name is given {names.count(name)} times")
    return domains or None


def check_certificates(domains: Iterable[Json], environment: str, exists: Callable[[str], bool]) -> None:
    """Refuse a domain whose certificate is not one of the environment."""
    for item in domains:
        certificate = item.get("certificateId")
        if not certificate:
            continue
        if not certificate.lower().startswith(f"{environment.lower()}/"):
            message = f"CertificateId property is invalid: '{certificate}' is not of '{environment}'."
            raise ArmError(400, "InvalidCertificateId", message)
        if not exists(certificate):
            raise ArmError(400, "CertificateNotFound", f"Certificate '{certificate}' doesn't exist")


def _domain(sent: Json) -> Json:
    name, certificate = sent.get("name") or "", sent.get("certificateId")
    if not HOST.fullmatch(name.lower()):
        raise invalid(IN_CONFIGURATION, f"{FIELD}.name", name, "it is not the name of a host")
    wanted = sent.get("bindingType") or ("SniEnabled" if certificate else "Disabled")
    binding = next((word for word in BINDINGS if word.lower() == wanted.lower()), None)
    if binding is None:
        raise not_one_of(f"{FIELD}.bindingType", wanted, BINDINGS)
    if binding == "SniEnabled" and not certificate:
        message = f"CertificateId property is missing for customDomain '{name}'."
        raise ArmError(400, "CertificateMissing", message)
    given = {key: value for key, value in sent.items() if value is not None}
    return {**given, "name": name, "bindingType": binding}
