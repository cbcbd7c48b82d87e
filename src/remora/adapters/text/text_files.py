"""The files of a model's folder that say how text becomes tokens. Owns their names; judges no content.

PEFT saves them beside an adapter where the trainer was given a tokenizer, as a base model has them beside its
weights. An adapter's own are part of what it is: the same weights on another prompt are another model.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from remora.errors import RemoraError
from remora.project.files.json_file import read_object
from remora.project.workspace import NAMED_TEMPLATES, TEXT_SETTINGS, TOKENIZERS

TOKENIZER_CONFIG = "tokenizer_config.json"
TEMPLATE_FILE = "chat_template.jinja"
GENERATION_CONFIG = "generation_config.json"
TEXT_FILES = (*TOKENIZERS, *TEXT_SETTINGS)
MOST_BYTES = 256 * 1024 * 1024

# What a generation config may say that changes which token is chosen, where a request says nothing.
_SAMPLING = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "typical_p",
    "repetition_penalty",
    "no_repeat_ngram_size",
    "encoder_repetition_penalty",
    "suppress_tokens",
    "begin_suppress_tokens",
    "bad_words_ids",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "max_new_tokens",
)
_NEUTRAL: dict[str, tuple[object, ...]] = {
    "temperature": (1, None),
    "top_p": (1, None),
    "top_k": (0, None),
    "typical_p": (1, None),
    "repetition_penalty": (1, None),
    "encoder_repetition_penalty": (1, None),
}


def text_files(folder: Path) -> tuple[str, ...]:
    """Those that lie in a folder, by relative name. What is no plain file, or far too large, is none."""
    named = sorted((folder / NAMED_TEMPLATES).glob("*.jinja"))
    found = [*TEXT_FILES, *(f"{NAMED_TEMPLATES}/{file.name}" for file in named)]
    return tuple(name for name in found if _is_usable(folder / name))


def has_vocabulary(names: tuple[str, ...]) -> bool:
    """Whether these files are a whole tokenizer, and not only settings for another one."""
    return any(name in TOKENIZERS for name in names)


def brings_template(folder: Path) -> bool:
    """Whether a folder has a chat template of its own, in whichever of the places."""
    names = text_files(folder)
    if any(name == TEMPLATE_FILE or name.startswith(NAMED_TEMPLATES) for name in names):
        return True
    return bool(optional_object(folder / TOKENIZER_CONFIG).get("chat_template"))


def generation_defaults(folder: Path) -> dict[str, object]:
    """What the folder's generation config asks for that a request does not get unless it asks itself."""
    config = optional_object(folder / GENERATION_CONFIG)
    return {
        name: config[name]
        for name in _SAMPLING
        if config.get(name) is not None and config[name] not in _NEUTRAL.get(name, (None,))
    }


def sampling_note(name: str, defaults: Mapping[str, object]) -> str:
    """A sentence on the sampling that a model was made for, and no request gets unasked; "" without one.

    OpenAI's API lacks some of it and has other defaults for the rest: so it is said, and not applied.
    """
    if not defaults:
        return ""
    asked = ", ".join(f"{key} {value}" for key, value in defaults.items())
    return f"the generation config of {name} asks for {asked}; requests get what they ask for themselves"


def optional_object(path: Path) -> dict[str, Any]:
    """A JSON object; empty if there is no such file, or if it holds something else."""
    try:
        return read_object(path) if _is_usable(path) else {}
    except (RemoraError, OSError):
        return {}


def _is_usable(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size <= MOST_BYTES
    except OSError:
        return False
