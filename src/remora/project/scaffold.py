"""The files that `remora init` writes; a file of the user's is never overwritten unasked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from remora.project.config import INFERENCE_FILE
from remora.project.json_file import replace_text
from remora.project.parameters import FOLDERS
from remora.project.settings import SETTINGS_FILE
from remora.project.toml_file import TomlFile, changed_text

BICEP_FILE = Path("infra/provision/inference.bicep")
COMPILED_FILE = BICEP_FILE.with_suffix(".json")
PARAMETERS_FILE = FOLDERS[0] / "inference.parameters.json"


@dataclass(frozen=True, slots=True)
class Scaffold:
    """Paths relative to the project: those written now, and those that were there and stay."""

    written: tuple[Path, ...]
    kept: tuple[Path, ...]


def write_scaffold(
    root: Path,
    *,
    base: str | None,
    name: str,
    adapters: Mapping[str, str],
    prompt_templates: Mapping[str, str] | None = None,
    force: bool = False,
) -> Scaffold:
    """Write what is missing; with `force`, what is there too.

    `base` and `adapters` (alias to folder) are relative to `root`; no base means one that the
    environment names. `prompt_templates` are by alias. Never touched, even with `force`, is an
    `inference.config.json`: it is the only record of what was provisioned. A compiled template is
    written only together with our own Bicep source.
    """
    texts = {
        Path(SETTINGS_FILE): settings_text(base, name, adapters, prompt_templates or {}),
        INFERENCE_FILE: template_text("inference.config.json"),
        PARAMETERS_FILE: template_text("inference.parameters.json"),
        BICEP_FILE: template_text("inference.bicep"),
        COMPILED_FILE: template_text("inference.json"),
    }
    kept = {path for path in texts if _is_kept(root, path, force=force)}
    if BICEP_FILE in kept:
        kept.add(COMPILED_FILE)
    for path in texts.keys() - kept:
        replace_text(root / path, texts[path])
    return Scaffold(
        written=tuple(path for path in texts if path not in kept),
        kept=tuple(path for path in texts if path in kept and (root / path).exists()),
    )


def template_text(name: str) -> str:
    """The text of a file of `template/`."""
    return files("remora.project").joinpath("template", name).read_text(encoding="utf-8")


def settings_text(
    base: str | None, name: str, adapters: Mapping[str, str], prompt_templates: Mapping[str, str]
) -> str:
    """The text of a new `remora.toml`."""
    file = TomlFile(Path(SETTINGS_FILE), template_text("remora.toml"), {})
    folders = {f"adapters.{alias}": folder for alias, folder in adapters.items()}
    prompts = {f"prompt_templates.{alias}": text for alias, text in prompt_templates.items()}
    return changed_text(file, {"model.base": base, "model.name": name, **folders, **prompts})


def _is_kept(root: Path, path: Path, *, force: bool) -> bool:
    if path == PARAMETERS_FILE and not (root / path).exists():
        return not force and any((root / folder / path.name).exists() for folder in FOLDERS)
    return (root / path).exists() and (not force or path == INFERENCE_FILE)
