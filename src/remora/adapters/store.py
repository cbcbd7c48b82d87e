"""The layout on the share (DESIGN §6): paths and small documents. Moves no bytes; see `rollout/sync.py`.

.remora/manifest.json                   what the last sync put here, written last
.remora/models/<digest>/…               a base model, immutable
.remora/adapters/<name>/<digest>/…      an adapter, immutable
.remora/aliases.json                    alias → digest; the only file that is ever replaced
.remora/releases/<id>/…                 code and settings that a revision runs
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from remora.adapters.adapter import Digest
from remora.errors import InvalidFile
from remora.project.alias import is_alias

ROOT = PurePosixPath(".remora")
ALIASES = ROOT / "aliases.json"
MANIFEST = ROOT / "manifest.json"
RELEASE_FILE = "release.json"

_DIGEST = re.compile(r"[0-9a-f]{64}")


def model_folder(digest: Digest) -> PurePosixPath:
    """Where a base model lies on the share."""
    return ROOT / "models" / digest


def adapter_folder(name: str, digest: Digest) -> PurePosixPath:
    """Where an adapter lies on the share."""
    return ROOT / "adapters" / name / digest


def release_folder(release_id: str) -> PurePosixPath:
    """Where a release lies on the share."""
    return ROOT / "releases" / release_id


@dataclass(frozen=True, slots=True)
class Release:
    """What a revision runs besides its adapters: the base model and the serve settings."""

    base_name: str
    also_known_as: tuple[str, ...]
    base_digest: Digest
    serve: Mapping[str, str | int]

    def to_json(self) -> bytes:
        """Canonical bytes, so that the same release has the same id everywhere."""
        return json.dumps(asdict(self), sort_keys=True, indent=2).encode()


def read_release(share: Path, release_id: str) -> Release:
    """The release's document on a mounted share. Raises InvalidFile."""
    path = share / release_folder(release_id) / RELEASE_FILE
    document = _read_json(path)
    try:
        return Release(
            base_name=str(document["base_name"]),
            also_known_as=tuple(map(str, document["also_known_as"])),
            base_digest=Digest(str(document["base_digest"])),
            serve=dict(document["serve"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidFile(f"{path} is not a release: {error!r}", hint="run: remora deploy") from error


def encode_aliases(aliases: Mapping[str, Digest], previous: Mapping[str, Digest]) -> bytes:
    """`aliases.json`: each alias with the digest it pointed to before, where there was one."""
    document = {
        name: {"digest": digest, "previous": previous.get(name)} for name, digest in sorted(aliases.items())
    }
    return (json.dumps(document, indent=2) + "\n").encode()


def decode_aliases(data: bytes, origin: str) -> dict[str, Digest]:
    """Alias → digest. `origin` names the file in the InvalidFile that a malformed one raises."""
    try:
        aliases = {str(name): Digest(str(entry["digest"])) for name, entry in json.loads(data).items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidFile(f"{origin} is malformed: {error!r}", hint="run: remora deploy") from error
    if unusable := [name for name, digest in aliases.items() if not _is_safe(name, digest)]:
        raise InvalidFile(f"{origin} names {unusable[0]!r} wrongly", hint="run: remora deploy")
    return aliases


def read_aliases(share: Path) -> dict[str, Digest]:
    """Alias → digest on a mounted share; nothing deployed yet is an empty mapping."""
    path = share / ALIASES
    try:
        return decode_aliases(path.read_bytes(), str(path))
    except FileNotFoundError:
        return {}


def _is_safe(name: str, digest: str) -> bool:
    """Both become folders: nothing in them may lead anywhere else."""
    return is_alias(name) and bool(_DIGEST.fullmatch(digest))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise InvalidFile(f"{path} does not exist", hint="run: remora deploy") from error
    except ValueError as error:
        raise InvalidFile(f"{path} is not JSON: {error}", hint="run: remora deploy") from error
    if not isinstance(document, dict):
        raise InvalidFile(f"{path} holds no JSON object", hint="run: remora deploy")
    return document
