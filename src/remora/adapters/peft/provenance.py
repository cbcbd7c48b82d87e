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

from remora.adapters.peft.lora_config import CONFIG_FILE
from remora.errors import RemoraError
from remora.project.checkpoints import checkpoints_in
from remora.project.files.json_file import read_object

MOST_BYTES = 2_000_000  # of a file that is only looked at
_FINGERPRINT_CHARACTERS = 12
_CARD_FIELDS = ("base_model", "library_name", "model_name", "license")
_TRAINERS = {
    "LLaMA-Factory": r"(?i)llama-?factory",
    "Axolotl": r"(?i)axolotl",
    "Unsloth": r"(?i)unsloth\b(?!/)",
    "TRL": r"(?m)^trl$|^- TRL: |trained (?:with|using) \[?TRL",
    "Trainer of transformers": r"(?m)^- Transformers: |generated_from_trainer",
}
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
    if trainer := _trainer(text, front[1] if front else ""):
        facts.append(("trainer", trainer))
    if loss := re.search(r"^- Loss: ([0-9.]+)$", text, re.MULTILINE):
        facts.append(("loss in the card", loss[1]))
    return facts + [(name, version) for name, version in versions if name != "PEFT"]


def _trainer(card: str, front: str) -> str:
    """The program that trained the adapter, where its model card shows one's marks."""
    told = [*re.findall(r"^\s*- (\S+)$", front, re.MULTILINE), card]
    return next((name for name, mark in _TRAINERS.items() if any(re.search(mark, text) for text in told)), "")


def _from_trainer(folder: Path) -> list[tuple[str, str]]:
    facts = read_training(folder)
    if (folder / "training_args.bin").exists():
        facts.append(("training_args.bin", "a pickle, not opened"))
    return facts


def read_training(folder: Path) -> list[tuple[str, str]]:
    """Steps, epochs and last losses from `trainer_state.json`: here, else in the newest checkpoint."""
    place = folder
    state = _object(folder / "trainer_state.json")
    if not state and folder.is_dir():
        names = checkpoints_in(folder, (path.name for path in folder.iterdir()))
        place = folder / names[-1] if names else folder
        state = _object(place / "trainer_state.json")
    history = state.get("log_history")
    entries = [entry for entry in history if isinstance(entry, dict)] if isinstance(history, list) else []
    known = {
        "training steps": state.get("global_step"),
        "epochs": state.get("epoch"),
        "loss": _last(entries, "loss", "train_loss"),
        "evaluation loss": _last(entries, "eval_loss"),
    }
    facts = [(name, f"{value:g}") for name, value in known.items() if isinstance(value, int | float)]
    return [*facts, ("training told by", place.name)] if facts and place != folder else facts


def _last(entries: list[dict[str, Any]], *keys: str) -> object:
    """The newest value of the first of these keys that has one."""
    return next((entry[key] for key in keys for entry in reversed(entries) if key in entry), None)


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
