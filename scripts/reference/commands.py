"""`reference/commands.md`: every command and every flag, from the Typer applications themselves."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Final, get_args

import typer
from scripts.reference.table import code, table

from remora.cli.main import COMMANDS

KINDS: Final[dict[Any, str]] = {Path: "PATH", int: "NUMBER", float: "NUMBER"}
HEAD = """# Commands

Every command and every flag. Made from the code by `make docs`; `remora COMMAND --help` prints the same.

`remora --version` prints the version, `remora --help` the list of commands, and `remora help TOPIC` a short
text about one subject. FOLDER is the project's folder, in every command; the working directory where it is
left out.

Let your shell complete commands, flags and the names of adapters; `remora help completion` has zsh and fish:

```sh
eval "$(remora completion bash)"
```
"""


def commands_page() -> str:
    parts = [HEAD]
    for group, commands in COMMANDS.items():
        parts.append(f"## {group}\n")
        for command in commands:
            parts += _described(f"remora {command.name}", command_object(command.module))
    return "\n".join(parts)


def command_object(module: str) -> Any:
    """What Typer makes of a module's `app`: a command, or a group of commands."""
    return typer.main.get_command(importlib.import_module(module).app)


def _described(name: str, command: Any, depth: int = 3) -> Iterator[str]:
    yield f"{'#' * depth} {name}\n"
    yield f"{inspect.cleandoc(command.help or '')}\n"
    children = getattr(command, "commands", {})
    if children:
        for child, inner in children.items():
            yield from _described(f"{name} {child}", inner, depth + 1)
        return
    example = (command.epilog or "").removeprefix("Example: ")
    usage = [f"{name}{''.join(f' {_argument(each)}' for each in _arguments(command))} [OPTIONS]"]
    yield "```text\n" + "\n".join(usage) + "\n```\n"
    yield table(("Argument or flag", "Default", "Meaning"), [_row(each) for each in _shown(command)])
    if example:
        yield f"Example: {code(example)}\n"


def _arguments(command: Any) -> list[Any]:
    return [each for each in command.params if each.param_type_name == "argument"]


def _shown(command: Any) -> list[Any]:
    return [each for each in command.params if not getattr(each, "hidden", False)]


def _argument(parameter: Any) -> str:
    name = parameter.metavar or parameter.name.upper()
    name = f"{name}…" if parameter.nargs == -1 else name
    return name if parameter.required else f"[{name}]"


def _row(parameter: Any) -> tuple[str, str, str]:
    if parameter.param_type_name == "argument":
        name = code(_argument(parameter))
    else:
        value = "" if parameter.is_flag else f" {_choice((parameter.metavar or _kind(parameter)).split('|'))}"
        name = ", ".join(code(flag + value) for flag in reversed(parameter.opts))
        name += "".join(f", {code(flag)}" for flag in parameter.secondary_opts)
    meaning = parameter.help or ""
    if parameter.envvar:
        meaning += f" Variable: {code(parameter.envvar)}."
    return name, _default(parameter), meaning


def _kind(parameter: Any) -> str:
    kind = _inner(parameter.type_descriptor.annotation)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _choice([str(each.value) for each in kind])
    return KINDS.get(kind, "TEXT")


def _choice(words: Sequence[str]) -> str:
    """Without a bar, which would end the cell of a table."""
    return f"{{{','.join(words)}}}" if len(words) > 1 else words[0]


def _inner(annotation: Any) -> Any:
    """The type of one value: `Path` of `list[Path] | None`."""
    inner = [each for each in get_args(annotation) if each is not type(None)]
    return _inner(inner[0]) if inner else annotation


def _default(parameter: Any) -> str:
    default = parameter.default
    if parameter.required:
        return "required"
    if isinstance(parameter.show_default, str):
        return parameter.show_default
    if isinstance(default, Enum):
        return code(default.value)
    if default in (None, False, "", Path(), ()) or callable(default):
        return ""
    return code(f"{default:g}" if isinstance(default, float) else default)
