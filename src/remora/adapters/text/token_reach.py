"""How far the token ids of a folder's tokenizer go, as far as its files say. Loads no tokenizer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from remora.adapters.text.text_files import (
    GENERATION_CONFIG,
    TEMPLATE_FILE,
    TOKENIZER_CONFIG,
    optional_object,
)
from remora.project.workspace import NAMED_TEMPLATES

TOKENIZER_FILE = "tokenizer.json"
SPECIAL_TOKENS = "special_tokens_map.json"


def stays_within(folder: Path, names: tuple[str, ...], count: int) -> bool:
    """Whether these text files of a folder surely name no token from `count` on.

    False says only that the tokenizer must be loaded to know.
    """
    telling = [name for name in names if name != TEMPLATE_FILE and not name.startswith(NAMED_TEMPLATES)]
    if not telling:
        return True
    if TOKENIZER_FILE not in telling or GENERATION_CONFIG in telling:
        return False
    ids = _ids(optional_object(folder / TOKENIZER_FILE))
    named = {
        token
        for file in (SPECIAL_TOKENS, TOKENIZER_CONFIG)
        for token in _special_tokens(optional_object(folder / file))
    }
    return bool(ids) and named <= ids.keys() and max(ids.values()) < count


def _ids(tokenizer: Mapping[str, Any]) -> dict[str, int]:
    """The tokens of a `tokenizer.json`; empty where it is none that is known."""
    model = tokenizer.get("model")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(vocabulary, list):  # of pairs: a token and its score
        vocabulary = {str(entry[0]): number for number, entry in enumerate(vocabulary)}
    if not isinstance(vocabulary, dict):
        return {}
    added = [each for each in tokenizer.get("added_tokens") or () if isinstance(each, dict)]
    ids = {**vocabulary, **{str(each.get("content")): each.get("id") for each in added}}
    return ids if all(isinstance(number, int) for number in ids.values()) else {}


def _special_tokens(config: Mapping[str, Any]) -> Iterator[str]:
    """What a tokenizer gives an id when it is loaded, if it has none."""
    for name, value in config.items():
        if name == "added_tokens_decoder" and isinstance(value, dict):
            yield from _texts([*value.values()])
        elif name.endswith("_token") or name in ("additional_special_tokens", "extra_special_tokens"):
            yield from _texts(value if isinstance(value, list) else [value])


def _texts(tokens: list[Any]) -> Iterator[str]:
    for token in tokens:
        text = token.get("content") if isinstance(token, dict) else token
        if isinstance(text, str):
            yield text
