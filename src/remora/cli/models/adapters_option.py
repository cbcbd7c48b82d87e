"""`--adapters`: which adapters are meant, and where they are listed.

Owns the choice and the lines. Does not inspect adapters.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import Annotated

import typer

from remora.errors import InvalidInput
from remora.project.adapter_names import unique_names
from remora.project.alias import numbered
from remora.project.checkpoints import newest_of
from remora.project.files.json_file import replace_text
from remora.project.files.regular_file import shown
from remora.project.settings import SETTINGS_FILE, Settings, changed_settings
from remora.project.skipped import ADAPTER_CONFIG
from remora.project.workspace import AdapterFolder

FLAG = "--adapters"

AdaptersOption = Annotated[
    list[str] | None,
    typer.Option(
        FLAG,
        metavar="FOLDER|PATTERN",
        help="Serve these adapters too, for example 'runs/*'. Repeat it for more.",
        show_default=False,
    ),
]


def chosen_adapters(root: Path, patterns: Iterable[str]) -> list[Path]:
    """The adapter folders that the patterns name, seen from here or from the project, in the order of paths.

    What a pattern matches besides adapters is passed over; a folder that is named in full must hold one.
    Of a training that left only checkpoints the newest is taken. Raises InvalidInput.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        matches = [path for place in (Path.cwd(), root) for path in _matches(place, pattern)]
        adapters = [adapter for path in dict.fromkeys(matches) if (adapter := _adapter_in(path))]
        if not adapters:
            raise InvalidInput(
                f"{FLAG} {pattern!r} names no folder with {ADAPTER_CONFIG}, here or in {shown(root)}",
                hint="name the folders that PEFT saved, each by itself or by a pattern in quotes: 'runs/*'",
                param=FLAG,
            )
        found |= dict.fromkeys(sorted(adapters))
    for adapter in found:
        if not adapter.is_relative_to(root):
            raise InvalidInput(
                f"the adapter {shown(adapter)} is outside of the project {shown(root)}",
                hint="name as FOLDER the folder that holds the project and its adapters",
                param=FLAG,
            )
    return list(found)


def named_folders(settings: Settings, adapters: Sequence[Path]) -> tuple[AdapterFolder, ...]:
    """Those of the adapters that remora.toml does not list, each with an alias that no other has."""
    listed = {path.resolve() for path in settings.adapters.values()}
    new = [path for path in adapters if path.resolve() not in listed]
    taken = set(settings.adapters)
    folders = []
    for path, name in unique_names(new, settings.root.resolve()).items():
        alias = numbered(name, taken)
        taken.add(alias)
        folders.append(AdapterFolder(alias, path, None))
    return tuple(folders)


def keep_adapters(root: Path, aliases: Iterable[tuple[str, Path]]) -> None:
    """Write adapters that the flag named into an existing remora.toml."""
    changes = {f"adapters.{alias}": path.relative_to(root).as_posix() for alias, path in aliases}
    if changes:
        replace_text(root / SETTINGS_FILE, changed_settings(root, changes))


def _matches(place: Path, pattern: str) -> list[Path]:
    path = place / Path(pattern).expanduser()
    names = sorted(glob(str(path))) if has_magic(pattern) else [str(path)]  # noqa: PTH207 - also absolute ones
    return [Path(os.path.abspath(name)) for name in names]  # noqa: PTH100 - keeps links


def _adapter_in(path: Path) -> Path | None:
    if (path / ADAPTER_CONFIG).is_file():
        return path
    if not path.is_dir():
        return None
    newest = newest_of(path, (entry.name for entry in path.iterdir() if entry.is_dir()))
    return path / newest.name if newest else None
