"""The service's operations on permissions of a share, and the permission that a request gives to an entry."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Final

from starlette.responses import JSONResponse, Response

from containerapps_emulator.storage import headers as wire
from containerapps_emulator.storage.call import Call
from containerapps_emulator.storage.errors import FilesError
from containerapps_emulator.storage.security_descriptor import from_binary, from_text, to_binary, to_text
from containerapps_emulator.storage.store.model import Entry
from containerapps_emulator.storage.store.properties import Changes

_HEADER: Final = "x-ms-file-permission"
_KEY: Final = "x-ms-file-permission-key"
_FORMAT: Final = "x-ms-file-permission-format"
_COPY_MODE: Final = "x-ms-file-permission-copy-mode"
_FORMATS: Final = ("sddl", "binary")
_MAX_HEADER_BYTES: Final = 8 * 1024


def create(call: Call) -> Response:
    try:
        document = json.loads(bytes(call.body))
    except ValueError:
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("permission"), str):
        raise FilesError("InvalidInput", 'The body must be JSON: {"permission": "…"}.')
    key = _save(call, document["permission"], str(document.get("format") or _FORMATS[0]))
    return Response(status_code=201, headers={_KEY: key})


def get(call: Call) -> Response:
    key = call.headers.get(_KEY)
    if key is None:
        raise FilesError("MissingRequiredHeader", _KEY)
    text = call.shares.permission(call.target.account, call.target.share, key)
    if _format(call.headers.get(_FORMAT, _FORMATS[0])) == "binary":
        text = to_binary(from_text(text))
    return JSONResponse({"permission": text})


def with_permission(call: Call, changes: Changes) -> Changes:
    """Also sets the permission that the request has. One that is to be inherited is the default."""
    text, key = call.headers.get(_HEADER), call.headers.get(_KEY)
    if text is not None and key is not None:
        raise FilesError("InvalidHeaderValue", f"{_HEADER}, with {_KEY}")
    if key is not None:
        call.shares.permission(call.target.account, call.target.share, key)
    elif text is not None and text.lower() not in {"inherit", "preserve"}:
        if len(text) > _MAX_HEADER_BYTES:
            raise FilesError("InvalidHeaderValue", f"{_HEADER}: at most {_MAX_HEADER_BYTES} bytes")
        key = _save(call, text, call.headers.get(_FORMAT, _FORMATS[0]))
    return changes if key is None else replace(changes, permission=key)


def with_copied_permission(call: Call, changes: Changes, account: str, share: str, source: Entry) -> Changes:
    """Also sets the permission of a copy: the request's, or that of the source in its own share."""
    mode = call.headers.get(_COPY_MODE, "").lower()
    if mode not in {"", "source", "override"}:
        raise FilesError("InvalidHeaderValue", f"{_COPY_MODE}: {mode}")
    if mode == "source":
        if _HEADER in call.headers or _KEY in call.headers:
            raise FilesError("InvalidHeaderValue", f"{_COPY_MODE}: source, with a permission")
        text = call.shares.permission(account, share, wire.permission_key(source))
        return replace(changes, permission=_save(call, text, _FORMATS[0]))
    if mode == "override" and _HEADER not in call.headers and _KEY not in call.headers:
        raise FilesError("MissingRequiredHeader", f"{_HEADER} or {_KEY}")
    return with_permission(call, changes)


def _save(call: Call, given: str, form: str) -> str:
    try:
        descriptor = from_binary(given) if _format(form) == "binary" else from_text(given)
    except ValueError as error:
        raise FilesError("FileInvalidPermission", str(error)) from None
    return call.shares.save_permission(call.target.account, call.target.share, to_text(descriptor))


def _format(given: str) -> str:
    if given.lower() not in _FORMATS:
        raise FilesError("InvalidHeaderValue", f"{_FORMAT}: {given}")
    return given.lower()
