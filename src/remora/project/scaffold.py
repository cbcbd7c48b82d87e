"""The files that `remora init` writes. Never overwrites a user's file without being asked to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from remora.project.files.json_file import replace_text
from remora.project.files.toml_file import TomlFile, changed_text
from remora.project.settings import SETTINGS_FILE
from remora.project.toolkit.config import INFERENCE_FILE
from remora.project.toolkit.parameters import FOLDERS

BICEP_FILE = Path("infra/provision/inference.bicep")
COMPILED_FILE = BICEP_FILE.with_suffix(".json")
PARAMETERS_FILE = FOLDERS[0] / "inference.parameters.json"


@dataclass(frozen=True, slots=True)
class Scaffold:
    """Paths relative to the project: files that were written, and existing files that were kept."""

    written: tuple[Path, ...]
    kept: tuple[Path, ...]


def scaffold_texts(
    *,
    base: str | None,
    name: str,
    adapters: Mapping[str, str],
    prompt_templates: Mapping[str, str] | None = None,
    quantize: str | None = None,
) -> dict[Path, str]:
    """The text of every file, by its path in the project.

    `base` and `adapters` (alias to folder) are relative to the project; without a base, the environment
    names one. `prompt_templates` are by alias. `quantize` is how the base is to be served, if not as it is.
    """
    return {
        Path(SETTINGS_FILE): settings_text(base, name, adapters, prompt_templates or {}, quantize),
        INFERENCE_FILE: template_text("inference.config.json"),
        PARAMETERS_FILE: template_text("inference.parameters.json"),
        BICEP_FILE: template_text("inference.bicep"),
        COMPILED_FILE: template_text("inference.json"),
    }


def write_scaffold(root: Path, texts: Mapping[Path, str], *, force: bool = False) -> Scaffold:
    """Write the missing files; with `force`, overwrite existing ones too."""
    kept = kept_files(root, texts, force=force)
    for path in texts.keys() - kept:
        replace_text(root / path, texts[path])
    return Scaffold(
        written=tuple(path for path in texts if path not in kept),
        kept=tuple(path for path in texts if path in kept and (root / path).exists()),
    )


def kept_files(root: Path, texts: Iterable[Path], *, force: bool) -> set[Path]:
    """Which of the files stay as they are.

    `inference.config.json` always stays, even with `force`: it is the only record of what was provisioned.
    A compiled template is written only together with our own Bicep source.
    """
    kept = {path for path in texts if _is_kept(root, path, force=force)}
    if BICEP_FILE in kept:
        kept.add(COMPILED_FILE)
    return kept


def template_text(name: str) -> str:
    """The text of a file of `template/`."""
    return files("remora.project").joinpath("template", name).read_text(encoding="utf-8")


def settings_text(
    base: str | None,
    name: str,
    adapters: Mapping[str, str],
    prompt_templates: Mapping[str, str],
    quantize: str | None = None,
) -> str:
    """The text of a new `remora.toml`."""
    file = TomlFile(Path(SETTINGS_FILE), template_text("remora.toml"), {})
    folders = {f"adapters.{alias}": folder for alias, folder in adapters.items()}
    prompts = {f"prompt_templates.{alias}": text for alias, text in prompt_templates.items()}
    served = {"serve.quantize": quantize} if quantize else {}
    return changed_text(file, {"model.base": base, "model.name": name, **folders, **prompts, **served})


def _is_kept(root: Path, path: Path, *, force: bool) -> bool:
    if path == PARAMETERS_FILE and not (root / path).exists():
        return not force and any((root / folder / path.name).exists() for folder in FOLDERS)
    return (root / path).exists() and (not force or path == INFERENCE_FILE)
