"""The layout on the share (DESIGN §6): paths and small documents. Moves no bytes; see `rollout/share`.

.remora/manifest.json                   what the last sync put here, written last
.remora/models/<digest>/…               a base model, immutable
.remora/in-place/<stamp>.json           a model that lies elsewhere on the share, see `in_place.py`
.remora/adapters/<name>/<digest>/…      an adapter, immutable
.remora/aliases.json                    alias → digest; the only file that decides what is served
.remora/alias-sets/<id>.json            the aliases that one revision starts with, see `aliases.py`
.remora/examples.json                   prompts that the chat pages offer, see `examples.py`
.remora/starting/<replica>.json         how far a start has come, see `starting_note.py`
.remora/releases/<id>/…                 code and settings that a revision runs
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from remora.adapters.adapter import Adapter, Digest
from remora.errors import InvalidFile, InvalidInput, said

ROOT = PurePosixPath(".remora")
ALIASES = ROOT / "aliases.json"
ADAPTERS = ROOT / "adapters"
MANIFEST = ROOT / "manifest.json"
EXAMPLES = ROOT / "examples.json"
WORKSPACE = ROOT / "workspace.json"
RELEASE_FILE = "release.json"
_REPAIR = "run: remora adapters repair"


def model_folder(digest: Digest) -> PurePosixPath:
    """Where a base model lies on the share."""
    return ROOT / "models" / digest


def adapter_folder(name: str, digest: Digest) -> PurePosixPath:
    """Where an adapter lies on the share."""
    return ADAPTERS / name / digest


def name_on_share(adapter: Adapter) -> str:
    """The name below which this version of an adapter lies on a share; "" where it lies elsewhere."""
    return adapter.path.parent.name if adapter.path.name == adapter.digest else ""


def release_folder(release_id: str) -> PurePosixPath:
    """Where a release lies on the share."""
    return ROOT / "releases" / release_id


def alias_set_path(set_id: str) -> PurePosixPath:
    """Where the aliases that a revision starts with lie on the share. Raises InvalidInput."""
    if not set_id.isalnum():
        raise InvalidInput(f"{set_id!r} is no id of a set of aliases", hint="run: remora deploy")
    return ROOT / "alias-sets" / f"{set_id}.json"


@dataclass(frozen=True, slots=True)
class Release:
    """What a revision runs besides its adapters: the base model, prompt templates, serve settings.

    `base_in_place`: the base model lies where a fine-tuning job left it, and `base_digest` is its stamp.
    """

    base_name: str
    also_known_as: tuple[str, ...]
    base_digest: Digest
    serve: Mapping[str, str | int]
    prompt_templates: Mapping[str, str] = field(default_factory=dict)
    base_in_place: bool = False

    def to_json(self) -> bytes:
        """Canonical bytes, so that the same release has the same id everywhere."""
        return json.dumps(asdict(self), sort_keys=True, indent=2).encode()


def read_release(share: Path, release_id: str) -> Release:
    """The release's document on a mounted share. Raises InvalidFile."""
    path = share / release_folder(release_id) / RELEASE_FILE
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InvalidFile(f"{path} does not exist", hint="run: remora deploy") from error
    return decode_release(data, str(path))


def decode_release(data: bytes, origin: str) -> Release:
    """A release's document. `origin` names the file in the InvalidFile that a malformed one raises."""
    document = _object(data, origin)
    try:
        return Release(
            base_name=str(document["base_name"]),
            also_known_as=tuple(map(str, document["also_known_as"])),
            base_digest=Digest(str(document["base_digest"])),
            serve=dict(document["serve"]),
            prompt_templates=dict(document.get("prompt_templates") or {}),
            base_in_place=bool(document.get("base_in_place")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidFile(f"{origin} is not a release: {said(error)}", hint=_REPAIR) from error


def _object(data: bytes, origin: str) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidFile(f"{origin} is not JSON: {said(error)}", hint=_REPAIR) from error
    if not isinstance(document, dict):
        raise InvalidFile(f"{origin} holds no JSON object", hint=_REPAIR)
    return document
