"""Runs the user's Bicep CLI as a process, or Remora's compiler if there is none.

Owns the choice between them and the CLI's messages. Installs nothing: `az bicep build` would download a
missing CLI, so it runs only if `az bicep version` finds one.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remora.azure.bicep.compiler import compile_bicep
from remora.errors import InvalidFile

BUILD_SECONDS = 180
VERSION_SECONDS = 30
OUR_COMPILER = "remora"


@dataclass(frozen=True, slots=True)
class Built:
    """A template, its compiler, and the compiler's messages."""

    template: dict[str, Any]
    compiler: str
    diagnostics: tuple[str, ...] = ()


def build(path: Path, root: Path | None = None, search_path: str | None = None) -> Built:
    """The template of a Bicep file. Remora's compiler reads only within `root`; `search_path` is as in PATH.

    Raises InvalidFile with the error and its position, FileNotFoundError if there is no such file.
    """
    path.stat()
    command = find_cli(search_path)
    return Built(compile_file(path, root), OUR_COMPILER) if command is None else run_cli(command, path)


def compile_file(path: Path, root: Path | None = None) -> dict[str, Any]:
    """The template that Remora's compiler writes; it reads only within `root`.

    Raises InvalidFile with the error and its position, FileNotFoundError if there is no such file.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidFile(f"{path} is not UTF-8: {error}", hint="save it as UTF-8") from None
    return compile_bicep(text, path, root)


def find_cli(search_path: str | None = None) -> tuple[str, ...] | None:
    """The command that builds a file (to be appended), or None if no Bicep CLI is installed."""
    bicep = shutil.which("bicep", path=search_path)
    if bicep is not None:
        return (bicep, "build", "--stdout")
    az = shutil.which("az", path=search_path)
    if az is not None and _has_bicep(az):
        return (az, "bicep", "build", "--stdout", "--file")
    return None


def _has_bicep(az: str) -> bool:
    try:
        done = subprocess.run(
            [az, "bicep", "version"],
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=VERSION_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def run_cli(command: tuple[str, ...], path: Path) -> Built:
    """The template that a Bicep CLI writes. Raises InvalidFile with its messages."""
    spoken = " ".join([Path(command[0]).name, *command[1:], str(path)])
    try:
        done = subprocess.run(
            [*command, str(path.absolute())],
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=BUILD_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InvalidFile(f"{path}: the Bicep CLI did not run: {error}", hint=f"try: {spoken}") from None
    lines = tuple(line for line in done.stderr.decode(errors="replace").splitlines() if line.strip())
    if done.returncode != 0:
        said = "\n".join(lines) or f"exit code {done.returncode}, without a message"
        raise InvalidFile(f"{path}: the Bicep CLI cannot compile it:\n{said}", hint=f"try: {spoken}")
    return Built(_template(done.stdout, path, spoken), " ".join(spoken.split()[:-1]), lines)


def _template(output: bytes, path: Path, spoken: str) -> dict[str, Any]:
    try:
        template = json.loads(output)
    except ValueError:
        template = None
    if not isinstance(template, dict) or "resources" not in template:
        raise InvalidFile(f"{path}: the Bicep CLI wrote no template", hint=f"try: {spoken}")
    return template
