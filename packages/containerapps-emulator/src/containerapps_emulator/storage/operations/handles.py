"""Open SMB handles: there are none, because containers open the files of a plain directory.

A request for handles does not say whether its path is a file or a directory, so both are tried.
"""

from __future__ import annotations

from starlette.responses import Response

from containerapps_emulator.storage import xml
from containerapps_emulator.storage.call import Call
from containerapps_emulator.storage.errors import FilesError


def list_handles(call: Call) -> Response:
    _require(call)
    return Response(xml.no_handles(), media_type="application/xml")


def close(call: Call) -> Response:
    _require(call)
    return Response(headers={"x-ms-number-of-handles-closed": "0", "x-ms-number-of-handles-failed": "0"})


def _require(call: Call) -> None:
    try:
        call.share.get(call.target.path, "directory")
    except FilesError as error:
        if error.code != "ResourceNotFound":
            raise
        call.share.get(call.target.path, "file")
