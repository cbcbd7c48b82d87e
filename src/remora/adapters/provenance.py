"""Where an adapter comes from, as far as the files beside it tell. For people to read; nothing relies on it.

Reads JSON and texts only: what trainers leave as pickles (`training_args.bin`) is named and never opened.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remora.adapters.lora_config import CONFIG_FILE
from remora.errors import RemoraError
from remora.project.json_file import read_object

MOST_BYTES = 2_000_000  # of a file that is only looked at
_FINGERPRINT_CHARACTERS = 12
_CARD_FIELDS = ("base_model", "library_name", "model_name", "license")
_OLIVE_FILES = ("olive-config.json", "olive_config.json", "footprints.json", "run_history.txt")


@dataclass(frozen=True, slots=True)
class Provenance:
    """What was found: `facts` in words, `chat_template` as a fingerprint ("" where the folder has none)."""

    facts: tuple[tuple[str, str], ...]
    chat_template: str


def read_provenance(folder: Path) -> Provenance:
    """Look through an adapter's folder. Raises nothing: a file that cannot be read tells nothing."""
    facts: list[tuple[str, str]] = []
    for read in _READERS:
        facts += read(folder)
    return Provenance(tuple(facts), chat_template_fingerprint(folder))


def chat_template_fingerprint(folder: Path) -> str:
    """Identifies the chat template that a folder brings, "" where it brings none."""
    text = _text(folder / "chat_template.jinja")
    if not text:
        template = _object(folder / "tokenizer_config.json").get("chat_template")
        text = template if isinstance(template, str) else ""
    return hashlib.sha256(text.strip().encode()).hexdigest()[:_FINGERPRINT_CHARACTERS] if text else ""


def _from_config(folder: Path) -> list[tuple[str, str]]:
    config = _object(folder / CONFIG_FILE)
    known = {"PEFT": config.get("peft_version"), "revision of the base": config.get("revision")}
    return [(name, str(value)) for name, value in known.items() if value]


def _from_card(folder: Path) -> list[tuple[str, str]]:
    """The front matter of the model card that PEFT and TRL write, and the versions that it lists."""
    text = _text(folder / "README.md")
    front = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    lines = front[1].splitlines() if front else []
    facts = []
    for line in lines:
        key, colon, value = line.partition(":")
        if colon and key in _CARD_FIELDS and value.strip():
            facts.append((key, value.strip()))
    versions = re.findall(
        r"^- (TRL|Transformers|Pytorch|PEFT|Datasets|Tokenizers): (\S+)", text, re.MULTILINE
    )
    return facts + [(name, version) for name, version in versions if name != "PEFT"]


def _from_trainer(folder: Path) -> list[tuple[str, str]]:
    state = _object(folder / "trainer_state.json")
    known = {"training steps": state.get("global_step"), "epochs": state.get("epoch")}
    facts = [(name, f"{value:g}") for name, value in known.items() if isinstance(value, int | float)]
    if (folder / "training_args.bin").exists():
        facts.append(("training_args.bin", "a pickle, not opened"))
    return facts


def _from_olive(folder: Path) -> list[tuple[str, str]]:
    found = [name for name in _OLIVE_FILES for place in (folder, folder.parent) if (place / name).is_file()]
    return [("Olive", ", ".join(dict.fromkeys(found)))] if found else []


_READERS: tuple[Callable[[Path], list[tuple[str, str]]], ...] = (
    _from_config,
    _from_card,
    _from_trainer,
    _from_olive,
)


def _object(path: Path) -> dict[str, Any]:
    try:
        return read_object(path) if path.is_file() and path.stat().st_size <= MOST_BYTES else {}
    except (RemoraError, OSError):
        return {}


def _text(path: Path) -> str:
    try:
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            return ""
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
