"""The XML that clients send: a share's access policies and the account's service settings.

Does not interpret more than is stored. Refuses documents with entities or a document type without parsing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from xml.etree import ElementTree as ET

from containerapps_emulator.storage.errors import FilesError
from containerapps_emulator.storage.store import stamps

_MAX_BYTES: Final = 64 * 1024
_MAX_POLICIES: Final = 5
_MAX_CORS_RULES: Final = 5
_MAX_ID_CHARACTERS: Final = 64
_POLICY_FIELDS: Final = ("Start", "Expiry", "Permission")
SECTIONS: Final = ("HourMetrics", "MinuteMetrics", "Cors", "ProtocolSettings")


def read_policies(body: bytes | memoryview) -> dict[str, dict[str, str]]:
    """Maps each id to its non-empty fields. An empty body removes every policy."""
    if not body:
        return {}
    root = _parse(body, "SignedIdentifiers")
    found: dict[str, dict[str, str]] = {}
    for item in root:
        name = (item.findtext("Id") or "").strip()
        if item.tag != "SignedIdentifier" or not 1 <= len(name) <= _MAX_ID_CHARACTERS or name in found:
            raise FilesError("InvalidXmlDocument", f"SignedIdentifier '{name}'")
        fields = {field: (item.findtext(f"AccessPolicy/{field}") or "").strip() for field in _POLICY_FIELDS}
        found[name] = {field: _stored(field, text) for field, text in fields.items() if text}
    if len(found) > _MAX_POLICIES:
        raise FilesError("InvalidXmlDocument", f"At most {_MAX_POLICIES} access policies, not {len(found)}.")
    return found


def _stored(field: str, text: str) -> str:
    """Times have seven digits of a second, whatever was sent. A date without a time is its first moment."""
    if field == "Permission":
        return text
    try:
        return stamps.iso(stamps.parse_iso(text))
    except ValueError:
        raise FilesError("InvalidXmlNodeValue", f"{field}: {text}") from None


def read_key_info(body: bytes | memoryview) -> dict[str, str]:
    """What a user delegation key is to be: Start, Expiry, DelegatedUserTid."""
    found = {item.tag: (item.text or "").strip() for item in _parse(body, "KeyInfo")}
    if unknown := found.keys() - {"Start", "Expiry", "DelegatedUserTid"}:
        raise FilesError("InvalidXmlDocument", f"unknown element {sorted(unknown)[0]}")
    return found


def read_service_properties(body: bytes | memoryview) -> dict[str, str]:
    """Maps each section that was sent to its XML; the other sections keep their settings."""
    root = _parse(body, "StorageServiceProperties")
    sections = {item.tag: ET.tostring(item, encoding="unicode") for item in root}
    if unknown := sections.keys() - set(SECTIONS):
        raise FilesError("InvalidXmlDocument", f"unknown element {sorted(unknown)[0]}")
    rules = len(root.findall("Cors/CorsRule"))
    if rules > _MAX_CORS_RULES:
        raise FilesError("InvalidXmlDocument", f"At most {_MAX_CORS_RULES} CORS rules, not {rules}.")
    return sections


def default_service_properties() -> Mapping[str, str]:
    """The settings of an account before a client sets any."""
    off = "<Enabled>false</Enabled>"
    metrics = f"<Version>1.0</Version>{off}<RetentionPolicy>{off}</RetentionPolicy>"
    return {
        "HourMetrics": f"<HourMetrics>{metrics}</HourMetrics>",
        "MinuteMetrics": f"<MinuteMetrics>{metrics}</MinuteMetrics>",
        "Cors": "<Cors />",
    }


def _parse(body: bytes | memoryview, root_tag: str) -> ET.Element:
    data = bytes(body)
    if len(data) > _MAX_BYTES or b"<!" in data:
        raise FilesError("InvalidXmlDocument", f"At most {_MAX_BYTES} bytes, without a document type.")
    try:
        root = ET.fromstring(data)  # noqa: S314 - no document type, so no entities
    except (ET.ParseError, ValueError, LookupError):
        raise FilesError("InvalidXmlDocument") from None
    if root.tag != root_tag:
        raise FilesError("InvalidXmlDocument", f"the root is {root.tag}, not {root_tag}")
    return root
