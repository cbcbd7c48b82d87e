"""What Container Apps makes of a `configuration.ingress` that was sent: refusals first, then its defaults."""

from __future__ import annotations

from typing import Final

from containerapps_emulator.apps.documents.custom_domains import domains_with_defaults
from containerapps_emulator.apps.documents.refusals import IN_CONFIGURATION, invalid, not_emulated, not_one_of
from containerapps_emulator.apps.documents.traffic_defaults import traffic_with_defaults
from containerapps_emulator.state import Json

NULLS: Final = (
    "customDomains",
    "ipSecurityRestrictions",
    "corsPolicy",
    "clientCertificateMode",
    "stickySessions",
    "additionalPortMappings",
    "targetPortHttpScheme",
)
TRANSPORTS: Final = ("Auto", "Http", "Http2", "Tcp")
CERTIFICATE_MODES: Final = ("Ignore", "Accept", "Require")
HTTP_SCHEMES: Final = ("http", "https")
LAST_PORT: Final = 65535


def ingress_with_defaults(sent: Json, *, labels: bool) -> Json:
    """The ingress to store. Raises ArmError."""
    _check(sent)
    traffic = sent.get("traffic")
    stored = [] if labels and not traffic else traffic_with_defaults(traffic)
    restrictions = [_given(item) for item in sent.get("ipSecurityRestrictions") or ()]
    return {
        **sent,
        **{name: sent.get(name) for name in NULLS},
        "ipSecurityRestrictions": restrictions or None,
        "customDomains": domains_with_defaults(sent.get("customDomains")),
        "external": bool(sent.get("external")),
        "targetPort": sent.get("targetPort"),
        "exposedPort": sent.get("exposedPort") or 0,
        "transport": transport_of(sent),
        "traffic": stored,
        "allowInsecure": bool(sent.get("allowInsecure")),
    }


def transport_of(sent: Json) -> str:
    """As Azure spells it. Raises ArmError for what is none."""
    transport = (sent.get("transport") or "auto").capitalize()
    if transport not in TRANSPORTS:
        raise not_one_of("ingress.transport", sent["transport"], TRANSPORTS)
    return str(transport)


def _check(sent: Json) -> None:
    if transport_of(sent) == "Tcp":
        raise not_emulated("TCP ingress")
    affinity = (sent.get("stickySessions") or {}).get("affinity") or "none"
    _check_word("stickySessions.affinity", affinity, ("none", "sticky"))
    _check_word("ingress.clientCertificateMode", sent.get("clientCertificateMode"), CERTIFICATE_MODES)
    _check_word("ingress.targetPortHttpScheme", sent.get("targetPortHttpScheme"), HTTP_SCHEMES)
    for name, least in (("targetPort", 1), ("exposedPort", 0)):
        port = sent.get(name)
        if port is not None and not least <= port <= LAST_PORT:
            why = f"must be between {least} and {LAST_PORT}, inclusive"
            raise invalid(IN_CONFIGURATION, f"configuration.ingress.{name}", port, why)


def _check_word(field: str, value: str | None, known: tuple[str, ...]) -> None:
    if value is not None and value.lower() not in (word.lower() for word in known):
        raise not_one_of(field, value, known)


def _given(sent: Json) -> Json:
    return {name: value for name, value in sent.items() if value is not None}
