"""The cache of the Hugging Face hub on this machine: which folder of it holds a model. Reads, never writes.

Knows the layout that huggingface_hub documents: models--ORG--NAME/{refs, snapshots/COMMIT, blobs}.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from remora.errors import RemoraError
from remora.project.files.json_file import read_object
from remora.project.model_name import last_name, same_name

INDEX = "model.safetensors.index.json"
_COMMIT = re.compile(r"[0-9a-f]{7,64}")


def hub_cache(environment: Mapping[str, str]) -> Path:
    """Where the cache is, by the variables that huggingface_hub reads, in its order."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if folder := environment.get(variable):
            return Path(folder).expanduser()
    if home := environment.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    home = environment.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "huggingface" / "hub"


def cached_models(wanted: str, revision: str, environment: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    """Hub id and snapshot of every whole model that may be meant: the very id first, then its name.

    A revision counts for the very id only: another organisation's copy has other revisions.
    """
    name = last_name(wanted)
    try:
        folders = sorted(hub_cache(environment).glob("models--*"))
    except OSError:
        return
    ids = {folder: folder.name.removeprefix("models--").replace("--", "/") for folder in folders}
    exact = [folder for folder in folders if ids[folder].lower() == wanted.lower()]
    alike = [
        folder
        for folder in folders
        if folder not in exact and name and same_name(ids[folder].rpartition("/")[2], name)
    ]
    for folder in (*exact, *alike):
        snapshot = _snapshot(folder, revision if folder in exact else "")
        if snapshot is not None and _is_whole(snapshot):
            yield ids[folder], snapshot


def _snapshot(folder: Path, revision: str) -> Path | None:
    """The snapshot of a revision, else that of `main`, else the newest."""
    snapshots = folder / "snapshots"
    if revision and _COMMIT.fullmatch(revision) and (snapshots / revision).is_dir():
        return snapshots / revision
    if revision:
        return _of_ref(folder, revision)
    if (main := _of_ref(folder, "main")) is not None:
        return main
    try:
        known = [path for path in snapshots.iterdir() if path.is_dir()]
    except OSError:
        return None
    return max(known, key=lambda path: path.stat().st_mtime_ns, default=None)


def _of_ref(folder: Path, ref: str) -> Path | None:
    refs = folder / "refs"
    path = refs / ref
    if ".." in Path(ref).parts or not path.is_file():
        return None
    commit = path.read_text(encoding="utf-8", errors="replace").strip()
    snapshot = folder / "snapshots" / commit
    return snapshot if _COMMIT.fullmatch(commit) and snapshot.is_dir() else None


def _is_whole(snapshot: Path) -> bool:
    """Whether every shard has come: a download may have been interrupted."""
    if not (snapshot / INDEX).is_file():
        return True
    try:
        weights = read_object(snapshot / INDEX).get("weight_map")
    except RemoraError:
        return False
    shards = set(map(str, weights.values())) if isinstance(weights, dict) else set()
    return all((snapshot / shard).is_file() for shard in shards)
