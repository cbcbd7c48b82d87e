"""Reads prompt template, base and adapter from AI Toolkit's scripts. Parses them, and never runs them.

Sources: constants of `inference/*.py` and `finetuning/*.py`, and `text_template` of
`finetuning/olive-config.json`.
"""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Formatter

from remora.errors import InvalidFile, RemoraError
from remora.project.files.json_file import read_object
from remora.project.files.regular_file import read_text
from remora.project.prompt_template import parse_prompt_template

FOLDERS = ("inference", "finetuning")
MAIN_SCRIPT = "gradio_chat.py"  # the endpoint runs it, so it has priority
OLIVE_CONFIG = Path("finetuning/olive-config.json")
MAX_BYTES = 1_000_000
_TEMPLATE_NAME = re.compile(r"(?i)(.*_)?template")
_PLACEHOLDER = re.compile(r"<[a-z_]+>")


@dataclass(frozen=True, slots=True)
class Found:
    """A value, and the file and line that set it."""

    value: str
    origin: str


@dataclass(frozen=True, slots=True)
class StockScripts:
    """`base` and `adapter` are folders relative to the project; None if no script names one."""

    prompt_template: Found | None = None
    base: Found | None = None
    adapter: Found | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Constant:
    """A string constant of a script."""

    folder: str
    name: str
    found: Found


def read_stock_scripts(root: Path) -> StockScripts:
    """Read a project's scripts; without any, everything is None. Raises nothing."""
    warnings: list[str] = []
    constants = [item for path in _scripts(root) for item in _constants(root, path, warnings)]
    trained = _text_template(root, warnings)
    templates = [item.found for item in constants if _TEMPLATE_NAME.fullmatch(item.name)]
    return StockScripts(
        prompt_template=_prompt_template(templates, trained, warnings),
        base=_folder(constants, "model_name"),
        adapter=_folder(constants, "adapters_name"),
        warnings=tuple(warnings),
    )


def _scripts(root: Path) -> list[Path]:
    """The main script first; links are not followed."""
    found = [path for folder in FOLDERS for path in sorted((root / folder).glob("*.py"))]
    files = [path for path in found if path.is_file() and not path.is_symlink()]
    return sorted(files, key=lambda path: path.name != MAIN_SCRIPT)


def _constants(root: Path, path: Path, warnings: list[str]) -> Iterator[_Constant]:
    name = path.relative_to(root).as_posix()
    try:
        tree = ast.parse(read_text(path, most_bytes=MAX_BYTES))
    except InvalidFile as error:
        warnings.append(error.message)
        return
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError) as error:
        warnings.append(f"{name} cannot be read: {error}")
        return
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(id=variable)], value=ast.Constant(value=str(text))):
                yield _Constant(path.parent.name, variable, Found(text, f"{name}:{node.lineno}"))
            case ast.AnnAssign(target=ast.Name(id=variable), value=ast.Constant(value=str(text))):
                yield _Constant(path.parent.name, variable, Found(text, f"{name}:{node.lineno}"))


def _prompt_template(templates: list[Found], trained: Found | None, warnings: list[str]) -> Found | None:
    """The first usable template of a script, else the start of the training texts."""
    usable = [found for found in templates if _is_template(found, warnings)]
    prompt = _prompt_of(trained) if trained else None
    if not usable:
        return prompt
    chosen = usable[0]
    others = [found for found in usable if found.value != chosen.value]
    warnings.extend(
        f"{other.origin} has another prompt template than {chosen.origin}, which is used" for other in others
    )
    if prompt and not prompt.value.startswith(chosen.value):
        warnings.append(
            f"{chosen.origin} asks with {chosen.value!r}, but {prompt.origin} trained with {prompt.value!r}:"
            " answers match the training only if both begin the same way"
        )
    return chosen


def _is_template(found: Found, warnings: list[str]) -> bool:
    if _PLACEHOLDER.fullmatch(found.value):
        warnings.append(f"{found.origin} still has the placeholder {found.value}")
        return False
    try:
        parse_prompt_template(found.value)
    except ValueError:
        return False
    return True


def _text_template(root: Path, warnings: list[str]) -> Found | None:
    """The template of a training text, such as `### Text: {phrase}\\n### The tone is:\\n{tone}`."""
    path = root / OLIVE_CONFIG
    if not path.is_file() or path.is_symlink():
        return None
    try:
        document = read_object(path)
    except RemoraError as error:
        warnings.append(error.message)
        return None
    found = next(_texts(document, "text_template"), None)
    if found is None or _PLACEHOLDER.fullmatch(found):
        return None
    return Found(found, f"{OLIVE_CONFIG.as_posix()} (text_template)")


def _texts(value: object, key: str) -> Iterator[str]:
    """Every string under `key`, at any depth."""
    if isinstance(value, dict):
        if isinstance(value.get(key), str):
            yield value[key]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _texts(item, key)


def _prompt_of(trained: Found) -> Found | None:
    """A training text up to its answer, which is the second and last column."""
    pieces = [""]  # the text before, between and after the columns
    try:
        for literal, column, _, _ in Formatter().parse(trained.value):
            pieces[-1] += literal.replace("{", "{{").replace("}", "}}")
            if column is not None:
                pieces.append("")
    except ValueError:
        return None
    return Found(f"{pieces[0]}{{}}{pieces[1]}", trained.origin) if len(pieces) == 3 else None


def _folder(constants: list[_Constant], name: str) -> Found | None:
    """A path in a script, relative to the script's folder; None if it leads out of the project."""
    for item in constants:
        if item.name == name and not _PLACEHOLDER.search(item.found.value):
            path = posixpath.normpath(posixpath.join(item.folder, item.found.value))
            if not path.startswith(("..", "/")):
                return Found(path, item.found.origin)
    return None
