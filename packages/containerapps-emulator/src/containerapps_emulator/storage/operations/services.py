"""The operations on an account's file service: its settings, stored but not applied; delegation keys."""

from __future__ import annotations

from starlette.responses import Response

from containerapps_emulator.storage import documents, xml
from containerapps_emulator.storage.access import delegation
from containerapps_emulator.storage.call import Call
from containerapps_emulator.storage.errors import FilesError


def get_properties(call: Call) -> Response:
    _require_service(call)
    sections = {
        **documents.default_service_properties(),
        **call.shares.service_properties(call.target.account),
    }
    body = xml.service_properties(sections[name] for name in documents.SECTIONS if name in sections)
    return Response(body, media_type="application/xml")


def set_properties(call: Call) -> Response:
    _require_service(call)
    call.shares.set_service_properties(call.target.account, documents.read_service_properties(call.body))
    return Response(status_code=202)


def delegation_key(call: Call) -> Response:
    _require_service(call)
    asked = documents.read_key_info(call.body)
    version = call.headers.get("x-ms-version", "")
    said = delegation.issue(call.identity, asked, version, call.now())
    value = delegation.value(call.shares.secret, call.target.account, said)
    return Response(xml.delegation_key(said, value), media_type="application/xml")


def _require_service(call: Call) -> None:
    if call.query.get("restype", "").lower() != "service":
        raise FilesError("InvalidQueryParameterValue", "restype must be service.")
