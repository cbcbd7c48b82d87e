"""The service's operations on directories. What they do on disk is in `store/model.py`."""

from __future__ import annotations

from starlette.responses import Response

from containerapps_emulator.storage import headers as wire
from containerapps_emulator.storage import xml
from containerapps_emulator.storage.call import Call, decode_marker, encode_marker, page_size
from containerapps_emulator.storage.operations.permissions import with_permission
from containerapps_emulator.storage.operations.renaming import read_rename
from containerapps_emulator.storage.store.properties import Changes


def create(call: Call) -> Response:
    changes = with_permission(call, wire.creation(call.headers))
    entry = call.share.create_directory(call.target.path, changes)
    return Response(status_code=201, headers=wire.changed_headers(entry))


def get(call: Call) -> Response:
    entry = call.share.get(call.target.path, "directory")
    return Response(headers=wire.directory_headers(entry))


def delete(call: Call) -> Response:
    call.share.delete_directory(call.target.path)
    return Response(status_code=202)


def list_entries(call: Call) -> Response:
    query = call.listing()
    directory = call.share.get(call.target.path, "directory")
    page = call.share.list(
        call.target.path,
        prefix=query.prefix,
        first_key=decode_marker(query.marker),
        limit=page_size(query),
    )
    marker = encode_marker(page.next_key)
    body = xml.directory_list(query, call.target, directory, page, marker)
    return Response(body, media_type="application/xml")


def get_metadata(call: Call) -> Response:
    entry = call.share.get(call.target.path, "directory")
    headers = {**wire.version_headers(entry), **wire.metadata_headers(entry.properties.metadata)}
    return Response(headers=headers)


def set_metadata(call: Call) -> Response:
    changes = Changes(metadata=wire.metadata(call.headers))
    entry = call.share.update(call.target.path, "directory", changes, None)
    return Response(headers={**wire.version_headers(entry), "x-ms-request-server-encrypted": "true"})


def set_properties(call: Call) -> Response:
    changes = with_permission(call, wire.new_properties(call.headers, is_file=False))
    entry = call.share.update(call.target.path, "directory", changes, None)
    return Response(headers=wire.changed_headers(entry))


def rename(call: Call) -> Response:
    entry = call.share.rename(read_rename(call, "directory"))
    return Response(headers=wire.changed_headers(entry))
