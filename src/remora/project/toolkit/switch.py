"""The switch of an AI Toolkit project to Remora's program: which files change, and how.

Only `apply_switch` writes. A project that is already switched has no changes.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from remora.project.files.json_file import replace_text
from remora.project.scaffold import BICEP_FILE, COMPILED_FILE, settings_text, template_text
from remora.project.settings import SETTINGS_FILE, changed_settings
from remora.project.toolkit.commands import Program, program_of, remora_commands
from remora.project.toolkit.parameters import Parameters, changed_parameters

KEPT_BICEP = BICEP_FILE.with_name("inference.ai-toolkit.bicep")
IMPROVEMENTS = (
    "one endpoint serves the base model and every adapter by name, mixed in one batch",
    "the whole OpenAI chat API: streamed or not, usage, stop, seed, clear errors; AI Toolkit's only streams",
    "an API key; AI Toolkit's endpoint answers everyone",
    "an update starts beside the serving revision, and gets traffic only after a check with real answers",
    "every answer has the digest of the adapter that produced it",
    "a deploy uploads only changes, and a start installs packages from the share instead of the internet",
)
DIFFERENCES = (
    "the base model is served in its own precision, not in 4 bit: closer to the original, with more memory",
    "max_tokens and sampling have OpenAI's defaults if a request leaves them out",
)


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file relative to the project, with its text before (None if it is new) and after.

    `copied_from` is the file that a new one is a copy of.
    """

    path: Path
    before: str | None
    after: str
    copied_from: Path | None = None

    def diff(self) -> str:
        """The change as a unified diff; a copy only names both files."""
        if self.copied_from is not None:
            return f"copy from {self.copied_from.as_posix()}\ncopy to {self.path.as_posix()}\n"
        lines = difflib.unified_diff(
            (self.before or "").splitlines(keepends=True),
            self.after.splitlines(keepends=True),
            fromfile=f"a/{self.path.as_posix()}" if self.before is not None else "/dev/null",
            tofile=f"b/{self.path.as_posix()}",
        )
        return "".join(
            line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
        )


@dataclass(frozen=True, slots=True)
class Served:
    """What the switched project serves; folders are relative to the project.

    `prompt_templates` are those that `remora.toml` does not have yet, by alias.
    """

    base: str
    base_name: str
    adapters: Mapping[str, str]
    prompt_templates: Mapping[str, str]


def planned_switch(
    root: Path, parameters: Parameters, declared: Sequence[str], profile: str | None, served: Served
) -> tuple[FileChange, ...]:
    """The files that would change. `declared` are the parameters of the project's template.

    A template without a parameter `apiKey` would leave the endpoint open, so it is replaced with ours, and
    the old one is kept beside it; `profile` is the workload profile of the old one.
    """
    changes = []
    values: dict[str, object] = {}
    if program_of(_commands(parameters)) is not Program.REMORA:
        values["defaultCommands"] = list(remora_commands())
    replaces_template = "apiKey" not in declared
    if replaces_template and profile is not None and "workloadProfile" not in parameters.values:
        values["workloadProfile"] = profile
    if values:
        changes.append(
            _change(root, parameters.path.relative_to(root), changed_parameters(parameters.path, values))
        )
    if replaces_template:
        changes += _template_changes(root)
    if not (root / SETTINGS_FILE).exists():
        text = settings_text(served.base, served.base_name, served.adapters, served.prompt_templates)
        changes.append(_change(root, Path(SETTINGS_FILE), text))
    elif served.prompt_templates:
        prompts = {f"prompt_templates.{alias}": text for alias, text in served.prompt_templates.items()}
        changes.append(_change(root, Path(SETTINGS_FILE), changed_settings(root, prompts)))
    return tuple(changes)


def apply_switch(root: Path, changes: Sequence[FileChange]) -> None:
    """Write the files in order, each atomically. If it is interrupted, a second run completes it."""
    for change in changes:
        replace_text(root / change.path, change.after)


def _commands(parameters: Parameters) -> list[str]:
    commands = parameters.values.get("defaultCommands")
    return [str(command) for command in commands] if isinstance(commands, list) else []


def _template_changes(root: Path) -> list[FileChange]:
    changes = [_change(root, BICEP_FILE, template_text(BICEP_FILE.name))]
    old = changes[0].before
    if old is not None and not (root / KEPT_BICEP).exists():
        changes.insert(0, FileChange(KEPT_BICEP, None, old, copied_from=BICEP_FILE))
    if (root / COMPILED_FILE).exists():
        changes.append(_change(root, COMPILED_FILE, template_text(COMPILED_FILE.name)))
    return changes


def _change(root: Path, path: Path, after: str) -> FileChange:
    full = root / path
    return FileChange(path, full.read_bytes().decode("utf-8") if full.exists() else None, after)
