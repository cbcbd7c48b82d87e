"""`remora adapters list --share`: the adapters that a fine-tuning job left on the share, and their state."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from remora.adapters.aliases import AliasSet
from remora.adapters.store import ALIASES
from remora.azure.share.files import Share
from remora.azure.share.models import ShareModels, find_share_models
from remora.cli.models.base_option import read_settings
from remora.cli.models.named_share import named_share, open_named
from remora.cli.output.console import Output
from remora.errors import DeploymentNotFound
from remora.project.settings import Settings
from remora.project.toolkit.config import FINETUNING_FILE
from remora.rollout.share.in_place import find_contents


@dataclass(frozen=True, slots=True)
class OnShare:
    """An adapter's folder. `name` is its alias in `remora.toml`, "" if it has none.

    `digest` is None until a replica has read it. `state` is "served", "changed" since it was deployed,
    "named" in `remora.toml` and not deployed, or "new".
    """

    folder: PurePosixPath
    name: str
    written: datetime | None
    size_bytes: int
    digest: str | None
    state: str

    def to_json(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "name": self.name or None,
            "written": self.written.isoformat() if self.written else None,
            "size_bytes": self.size_bytes,
            "digest": self.digest,
            "state": self.state,
        }

    def row(self) -> str:
        """One line of text."""
        written = f"{self.written:%Y-%m-%d %H:%M}Z" if self.written else ""
        size = f"{self.size_bytes:>14,} bytes"
        return f"{self.state:<8} {self.name or '-':<16} {written:<17} {size}  {self.folder}"


def list_on_share(folder: Path, out: Output) -> None:
    """Print them. Raises DeploymentNotFound if no project file names a share, or the share does not exist."""
    named = named_share(folder)
    if named is None:
        raise DeploymentNotFound(
            f"{folder / FINETUNING_FILE} names no share, and nothing has been provisioned yet",
            hint=f"fill it in, or run: remora provision {folder}",
        )
    share = open_named(named, folder, out)
    with out.step(f"looking for adapters on share {share.name!r}") as say:
        found = _found(read_settings(folder), share, find_share_models(share))
        say(f"{len(found)} adapters are on share {share.name!r}")
    document = {"share": share.name, "adapters": [each.to_json() for each in found]}
    rows = [each.row() for each in found]
    if any(each.state in ("new", "named", "changed") for each in found):
        rows.append(f"To serve the adapters that are changed or named: remora up {folder}")
    out.result("adapters.share", document, "\n".join(rows) or f"no adapters are on share {share.name!r}")


def _found(settings: Settings, share: Share, models: ShareModels) -> list[OnShare]:
    names = {
        path.relative_to(settings.root).as_posix(): alias
        for alias, path in settings.adapters.items()
        if path.is_relative_to(settings.root)
    }
    aliases = AliasSet.decode(share.read(ALIASES), str(ALIASES)).digests
    found = []
    for folder in models.adapters:
        place, name = models.place(folder), names.get(str(folder), "")
        contents = find_contents(share, place.stamp)
        digest = contents.digest if contents else None
        found.append(
            OnShare(
                folder=folder,
                name=name,
                written=models.written(folder),
                size_bytes=sum(each.size_bytes for each in place.files.values()),
                digest=digest,
                state=_state(name, digest, aliases.get(name)),
            )
        )
    return found


def _state(name: str, digest: str | None, served: str | None) -> str:
    if not name:
        return "new"
    if served is None:
        return "named"
    return "served" if digest == served else "changed"
