"""The project's folder, given to every command in the same way: as FOLDER, the last argument, or with -C.

Also adds that folder to the commands in hints, so that each works as printed. Reads no project.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from remora.cli.output.next_command import in_folder
from remora.errors import InvalidInput, NotFound, RemoraError
from remora.project.files.regular_file import shown

FolderArgument = Annotated[Path, typer.Argument(help="The project's folder.", show_default="this folder")]
_FolderOption = Annotated[
    Path | None, typer.Option("--folder", "-C", help="The same as FOLDER.", show_default=False)
]
_FormerOption = Annotated[Path | None, typer.Option("--project", "-p", hidden=True)]  # until 0.3

_MoreArgument = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="FOLDER",
        help="With several folders, each is an adapter of the project in the folder that holds them all.",
        show_default=False,
    ),
]

_OPTIONS = {"folder_option": _FolderOption, "former_option": _FormerOption}


def in_project(
    formerly: str = "", *, several: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A decorator: a command with a parameter `folder` also takes -C.

    If the first argument was another parameter until this release, `formerly` names that parameter: a word
    that is not a folder is still taken for it. A command with a parameter `adapters` can take `several`
    folders: they are adapters then, and the project is in the folder that holds them all.
    """
    options = {**_OPTIONS, **({"more": _MoreArgument} if several else {})}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        extra = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
            for name, annotation in options.items()
        ]

        @wraps(command)
        def run(
            *,
            folder: Path = Path(),
            folder_option: Path | None = None,
            former_option: Path | None = None,
            more: list[Path] | None = None,
            **given: Any,
        ) -> None:
            if more:
                folder, named = _holding([folder, *more])
                given["adapters"] = [*named, *(given["adapters"] or ())]
            if formerly and given.get(formerly) is None and _is_a_word(folder):
                folder, given[formerly] = Path(), str(folder)
            folder = _chosen(folder, folder_option or former_option)
            _check_working_directory(folder)
            try:
                command(folder=folder, **given)
            except RemoraError as error:
                error.hint = in_folder(error.hint, folder)
                raise

        parameters = [*signature.parameters.values(), *extra]
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {**command.__annotations__, **options}
        return run

    return decorate


def _holding(adapters: Sequence[Path]) -> tuple[Path, list[str]]:
    """The folder that holds all of these folders, and their names. Raises NotFound if one is no folder."""
    for path in adapters:
        if not path.is_dir():
            raise NotFound(f"{shown(path)} is not a folder", hint="name folders with one adapter each")
    common = Path(os.path.commonpath({path.absolute().parent for path in adapters}))
    here = Path.cwd()
    return (common.relative_to(here) if common.is_relative_to(here) else common), list(map(str, adapters))


def _chosen(folder: Path, option: Path | None) -> Path:
    if option is not None and folder not in (Path(), option):
        raise InvalidInput(
            f"the folder is given twice: {folder} and -C {option}",
            hint="leave out one of them",
            param="--folder",
        )
    return folder if option is None else option


def _check_working_directory(folder: Path) -> None:
    """The shell's working directory may have been deleted; then no relative path can be found."""
    try:
        folder.absolute()
    except FileNotFoundError:
        raise NotFound("the working directory no longer exists", hint="go to one that exists: cd") from None


def _is_a_word(folder: Path) -> bool:
    return folder != Path() and os.sep not in str(folder) and not folder.is_dir()
