"""Which part of a project a rollout changes: all, only code, or only adapters. Uploads nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from enum import StrEnum

from remora.adapters.in_place import IN_PLACE
from remora.adapters.store import (
    RELEASE_FILE,
    ROOT,
    decode_release,
    release_folder,
)
from remora.azure.share.files import Share
from remora.errors import InvalidInput, Refused
from remora.rollout.revision.candidate import ADAPTERS_VARIABLE, Before
from remora.rollout.share.alias_sets import served_aliases
from remora.rollout.share.contents import Contents
from remora.rollout.share.plan import SyncFile

_ADAPTERS = (*ROOT.parts, "adapters")
_WHOLE = "deploy everything once: remora deploy, without --code-only and --adapters-only"


class Part(StrEnum):
    """The part of the project that a rollout changes; the rest stays as it is deployed."""

    EVERYTHING = "everything"
    CODE = "code"
    ADAPTERS = "adapters"


def part_of(*, code_only: bool, adapters_only: bool) -> Part:
    """The part that the two flags select. Raises InvalidInput if both are set."""
    if code_only and adapters_only:
        raise InvalidInput(
            "--code-only and --adapters-only exclude each other",
            hint="leave out both to deploy everything",
            param="--code-only",
        )
    return Part.CODE if code_only else Part.ADAPTERS if adapters_only else Part.EVERYTHING


def narrowed(contents: Contents, part: Part, before: Before, share: Share) -> Contents:
    """These contents, with everything except `part` as it is deployed now.

    Raises Refused if nothing is deployed that could stay, or if the adapters are for a different base model
    from the one that the deployed release serves.
    """
    if part is Part.CODE:
        return _only_code(contents, before, share)
    return _only_adapters(contents, before, share) if part is Part.ADAPTERS else contents


def _only_code(contents: Contents, before: Before, share: Share) -> Contents:
    served = served_aliases(share, before.environment.get(ADAPTERS_VARIABLE, ""))
    if not served.aliases:
        raise Refused(
            f"--code-only: no adapters are deployed on {share!r} that could stay as they are", hint=_WHOLE
        )
    return replace(
        contents,
        files=_files(contents.files, adapters=False),
        aliases=served.digests,
        unread=frozenset(),
    )


def _only_adapters(contents: Contents, before: Before, share: Share) -> Contents:
    release_id = before.release
    path = release_folder(release_id or "none") / RELEASE_FILE
    data = share.read(path) if release_id else None
    if data is None:
        raise Refused(f"--adapters-only: no release is deployed on {share!r} that could stay", hint=_WHOLE)
    deployed = decode_release(data, str(path))
    if deployed.base_digest != contents.base_digest:
        raise Refused(
            f"--adapters-only: release {release_id} serves base model {deployed.base_digest[:12]},"
            f" these adapters are for {contents.base_digest[:12]}",
            hint=_WHOLE,
        )
    return replace(contents, files=_files(contents.files, adapters=True), release_id=release_id)


def _files(files: Iterable[SyncFile], *, adapters: bool) -> tuple[SyncFile, ...]:
    """The files of one kind, and the listings of models on the share: small, and used by both kinds."""
    return tuple(
        file
        for file in files
        if file.path.is_relative_to(IN_PLACE) or (file.path.parts[:2] == _ADAPTERS) is adapters
    )
