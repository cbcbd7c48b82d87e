"""`remora adapters list --checkpoints`: the checkpoints of a project's trainings, and which are served."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from remora.adapters.peft.provenance import read_training
from remora.cli.models.base_option import read_settings
from remora.cli.output.console import Output
from remora.project.alias import alias_from
from remora.project.checkpoints import checkpoints_in
from remora.project.settings import SETTINGS_FILE, Settings
from remora.project.skipped import CHECKPOINT, why_skipped
from remora.project.workspace import MAX_DEPTH, find_workspace


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint's folder, relative to the project. `name` is the alias it is served by, "" for none."""

    folder: str
    name: str
    steps: str
    loss: str


def list_checkpoints(folder: Path, out: Output) -> None:
    """Print them, oldest first in each training."""
    settings = read_settings(folder)
    found = list(_found(settings))
    rows = [f"{each.folder:<40} step {each.steps:<8} loss {each.loss:<8} {each.name}" for each in found]
    if found:
        path = found[-1].folder
        alias = alias_from(path.replace("/", "-"))
        rows.append(f'To serve one, write under [adapters] in {SETTINGS_FILE}: {alias} = "{path}"')
    document = {"checkpoints": [asdict(each) for each in found]}
    out.result("adapters.checkpoints", document, "\n".join(rows) or "no checkpoints are in the folder")


def _found(settings: Settings) -> Iterator[Checkpoint]:
    served = {path.resolve(): alias for alias, path in settings.adapters.items()}
    if not served:
        served = {item.path: item.name for item in find_workspace(settings.root).adapters}
    for path in _folders(settings.root):
        training = dict(read_training(path))
        yield Checkpoint(
            folder=path.relative_to(settings.root).as_posix(),
            name=served.get(path, ""),
            steps=training.get("training steps", "?"),
            loss=training.get("loss", "?"),
        )


def _folders(root: Path) -> Iterator[Path]:
    for current, folders, _ in os.walk(root, followlinks=False):
        here = Path(current)
        yield from (here / name for name in checkpoints_in(here, folders))
        deep = len(here.relative_to(root).parts) >= MAX_DEPTH
        folders[:] = [] if deep else sorted(name for name in folders if _is_entered(name))


def _is_entered(name: str) -> bool:
    """Checkpoints may lie in a folder of that name, which a look for adapters passes by."""
    return not name.startswith(CHECKPOINT) and (name == "checkpoints" or why_skipped(name) is None)
