"""Every command on a page is one that works: `remora` commands are parsed by the command line itself.

A command that no test can look at stands in a block that is marked `<!-- azure -->`.
"""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterator

import pytest
import typer
import yaml
from scripts.reference.commands import command_object
from tests.docs.blocks import ROOT, Block, blocks_of, commands_in, pages

from remora.cli.main import COMMANDS

SHELL = frozenset({"sh", "bash"})
LANGUAGES = SHELL | {"text", "json", "toml", "yaml", "python", "js", "mermaid", "bicep"}
MARKS = re.compile(
    r"azure|network|browser|others|long|checkout|run|output|figure"
    r"|tutorial(: (install|yours))?|snippet: [\w-]+"
)
ON_EVERY_MACHINE = frozenset(
    {".", "cat", "cd", "cp", "curl", "echo", "eval", "mkdir", "rm", "sudo", "apt-get"}
)
OF_OTHERS = frozenset({"code", "docker", "git", "kubectl", "llm", "npm"})
AZURES = frozenset({"az"})
MODULES = {command.name: command.module for group in COMMANDS.values() for command in group}
BLOCKS = [block for path in pages() for block in blocks_of(path)]


def of_shell() -> list[Block]:
    return [block for block in BLOCKS if block.language in SHELL]


def test_the_pages_are_read() -> None:
    assert len(of_shell()) > 50
    assert len({block.page for block in BLOCKS}) > 15


def test_every_block_names_its_language_and_its_mark_is_known() -> None:
    wrong = [block.where for block in BLOCKS if block.language not in LANGUAGES]
    wrong += [block.where for block in BLOCKS if block.mark and not MARKS.fullmatch(block.mark)]
    assert wrong == []


def test_no_command_hides_in_a_block_of_output() -> None:
    hidden = [
        block.where
        for block in BLOCKS
        if block.language == "text" and re.search(r"^\$ |^remora \w+ .*# ", block.text, re.MULTILINE)
    ]
    assert hidden == []


@pytest.mark.parametrize("block", of_shell(), ids=lambda block: block.where)
def test_a_command_is_one_that_works(block: Block) -> None:
    assert list(problems(block)) == []


def test_every_block_is_what_its_shell_can_read() -> None:
    text = "\n".join(f"_() {{\n{block.text}\n}}" for block in of_shell())
    read = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    assert read.stderr == ""


def test_other_blocks_are_well_formed() -> None:
    readers: dict[str, Callable[[str], object]] = {
        "json": json.loads,
        "toml": tomllib.loads,
        "yaml": _read_yaml,
        "python": _compiled,
    }
    wrong = []
    for block in BLOCKS:
        try:
            readers.get(block.language, str)(block.text)
        except (ValueError, SyntaxError) as error:
            wrong.append(f"{block.where}: {error}")
    assert wrong == []


def test_a_wrong_command_is_found() -> None:
    lines = (
        "remora up --no-such-flag",
        "remora upp",
        "az login",
        "make no-such-target",
        "rmdir x",
        "remora logs 2 3 4",
    )
    for line in lines:
        assert list(problems(Block("page.md", 1, "sh", "", line))), line
    assert not list(problems(Block("page.md", 1, "sh", "azure", "az login && remora up my-folder --yes")))


def problems(block: Block) -> Iterator[str]:
    known = ON_EVERY_MACHINE | OF_OTHERS | (AZURES if block.mark == "azure" else frozenset())
    for program, *arguments in commands_in(block.text):
        if program == "remora":
            yield from _parsed(arguments)
        elif program == "make":
            yield from (
                f"make has no {each}" for each in arguments if "=" not in each and each not in _targets()
            )
        elif program in ("pip", "python", "python3"):
            yield from _of_python(arguments)
        elif program not in known:
            yield f"{program}: mark the block as azure, or name the program in this test"


def _parsed(arguments: list[str]) -> Iterator[str]:
    """What the command line says against these arguments; nothing is run."""
    name, *rest = arguments or ["--help"]
    if name in ("--help", "--version"):
        return
    if name not in MODULES:
        yield f"there is no command remora {name}"
        return
    command = command_object(MODULES[name])
    while rest and rest[0] in getattr(command, "commands", {}):
        command, rest = command.commands[rest[0]], rest[1:]
    if getattr(command, "commands", {}) and rest != ["--help"]:
        yield f"remora {name} has no {rest[:1]}"
        return
    try:
        command.make_context(name, [word for word in rest if word != "--help"])
    except typer.Exit:
        return
    except Exception as error:  # whatever the parser raises is what a reader would see
        yield f"remora {' '.join(arguments)}: {error}"


def _of_python(arguments: list[str]) -> Iterator[str]:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for word in arguments:
        if found := re.search(r"\[([\w,]+)\]$", word):
            yield from (f"there is no extra {each}" for each in found[1].split(",") if each not in extras)
        if word.endswith(".py") and not (ROOT / word).is_file():
            yield f"there is no {word}"
    if "-m" in arguments[:-1]:
        module = arguments[arguments.index("-m") + 1]
        path = ROOT / module.replace(".", "/")
        ours = module.startswith(("benchmarks", "tests", "scripts"))
        if ours and not (path.is_dir() or path.with_suffix(".py").is_file()):
            yield f"there is no module {module}"


def _targets() -> set[str]:
    return set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def _read_yaml(text: str) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _compiled(text: str) -> object:
    return compile(text, "page", "exec")
