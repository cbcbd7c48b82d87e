"""Parses a rename request, for files and directories alike. Does not rename."""

from __future__ import annotations

from containerapps_emulator.storage import headers as wire
from containerapps_emulator.storage.call import Call
from containerapps_emulator.storage.errors import FilesError
from containerapps_emulator.storage.names import parse_source
from containerapps_emulator.storage.operations.permissions import with_permission
from containerapps_emulator.storage.store.model import Rename
from containerapps_emulator.storage.store.tree import Kind


def read_rename(call: Call, kind: Kind) -> Rename:
    """Source and target must be in one share. Raises FilesError."""
    url = call.headers.get("x-ms-file-rename-source")
    if url is None:
        raise FilesError("MissingRequiredHeader", "x-ms-file-rename-source")
    source = parse_source(url, keep_trailing_dots=wire.flag(call.headers, "x-ms-source-allow-trailing-dot"))
    if (source.account, source.share) != (call.target.account, call.target.share):
        raise FilesError(
            "InvalidHeaderValue", f"x-ms-file-rename-source is outside of '{call.target.share}'."
        )
    content = call.share.get(source.path, kind).properties.content if kind == "file" else None
    return Rename(
        source=source.path,
        target=call.target.path,
        kind=kind,
        changes=with_permission(call, wire.rename_changes(call.headers, content)),
        replace_existing=wire.flag(call.headers, "x-ms-file-rename-replace-if-exists"),
        ignore_read_only=wire.flag(call.headers, "x-ms-file-rename-ignore-readonly"),
        source_lease=call.headers.get("x-ms-source-lease-id"),
        target_lease=call.headers.get("x-ms-destination-lease-id"),
    )
