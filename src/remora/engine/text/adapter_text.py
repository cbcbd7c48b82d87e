"""The tokenizers of adapters: their own where they bring one that differs, else the base's."""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from weakref import WeakValueDictionary

from remora.adapters.adapter import Adapter
from remora.adapters.text.text_files import (
    GENERATION_CONFIG,
    TEMPLATE_FILE,
    TOKENIZER_CONFIG,
    brings_template,
    has_vocabulary,
    optional_object,
    text_files,
)
from remora.engine.base import Tokenizer
from remora.engine.text.chat_template import MODEL_CONFIG, HfTokenizer
from remora.errors import AdapterRejected, RemoraError, listed
from remora.project.workspace import NAMED_TEMPLATES

AdapterTokenizer = Callable[[Adapter, int], Tokenizer]
"""As `AdapterTokenizers.of`."""

_PROBE = (
    {"role": "user", "content": "Remora"},
    {"role": "assistant", "content": "1, 2, 3"},
    {"role": "user", "content": "?"},
)


class AdapterTokenizers:
    """Those of the adapters on one base model. Adapters whose files are alike share one."""

    def __init__(self, base_path: Path) -> None:
        self.base = HfTokenizer(base_path)
        self._base_path = base_path
        self._lock = threading.Lock()  # several adapters may be loaded at once
        self._known: WeakValueDictionary[str, HfTokenizer] = WeakValueDictionary()
        self._base_identity = ""

    def of(self, adapter: Adapter, vocabulary_size: int) -> HfTokenizer:
        """The tokenizer that an adapter was trained with, as far as its folder has one.

        Raises AdapterRejected where it cannot be used, or writes tokens that the model with this adapter,
        which has `vocabulary_size` of them, has no row for.
        """
        files = {name: _content(adapter, name) for name in adapter.text_files}
        if all(_has(self._base_path / name, data) for name, data in files.items()):
            return self.base
        key = _key(files)
        with self._lock:
            tokenizer = self._known.get(key)
            if tokenizer is None:
                tokenizer = self._known[key] = self._load(adapter)
        _check_reach(adapter, tokenizer, vocabulary_size)
        return tokenizer

    def _load(self, adapter: Adapter) -> HfTokenizer:
        try:
            with tempfile.TemporaryDirectory(prefix="remora-tokenizer-") as folder:
                self._lay_out(adapter, Path(folder))
                tokenizer = HfTokenizer(Path(folder), base=self.base)
        except RemoraError as error:
            message = error.message.replace(folder, str(adapter.path))
            raise AdapterRejected(message, hint=error.hint) from error
        self._base_identity = self._base_identity or self.base.identity
        return self.base if tokenizer.identity == self._base_identity else tokenizer

    def _lay_out(self, adapter: Adapter, folder: Path) -> None:
        """Links to the adapter's files and, where they are no whole tokenizer, to the base's behind them."""
        sources: dict[str, Path] = {}
        if not has_vocabulary(adapter.text_files):
            sources = {name: self._base_path / name for name in text_files(self._base_path)}
            if brings_template(adapter.path):
                sources = {name: file for name, file in sources.items() if not _is_template(name)}
            sources.pop(GENERATION_CONFIG, None)
        sources |= {name: adapter.path / name for name in adapter.text_files}
        named = optional_object(sources[TOKENIZER_CONFIG]) if TOKENIZER_CONFIG in sources else {}
        if not named.get("tokenizer_class"):
            sources[MODEL_CONFIG] = self._base_path / MODEL_CONFIG
        for name, file in sources.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).symlink_to(file.resolve())


def _check_reach(adapter: Adapter, tokenizer: HfTokenizer, vocabulary_size: int) -> None:
    """What every conversation has in it, and what ends an answer, must be tokens of the model."""
    try:
        ids = set(tokenizer.render_chat(_PROBE))
    except RemoraError:  # a template for single questions; it took one when it was loaded
        ids = set(tokenizer.render_chat(_PROBE[:1]))
    beyond = sorted(token_id for token_id in ids | tokenizer.stop_token_ids if token_id >= vocabulary_size)
    if beyond:
        shown = listed(f"{tokenizer.token_of(token_id)!r} ({token_id})" for token_id in beyond)
        raise AdapterRejected(
            f"the tokenizer of {adapter.path} writes {shown}, for which neither the base model nor the"
            f" adapter has a row: there are {vocabulary_size}",
            hint="save the adapter with its embeddings: model.save_pretrained(folder,"
            " save_embedding_layers=True)",
        )


def _is_template(name: str) -> bool:
    return name == TEMPLATE_FILE or name.startswith(NAMED_TEMPLATES)


def _content(adapter: Adapter, name: str) -> bytes:
    try:
        return (adapter.path / name).read_bytes()
    except OSError as error:
        raise AdapterRejected(f"{adapter.path / name} cannot be read: {error}") from error


def _has(path: Path, data: bytes) -> bool:
    return path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data


def _key(files: Mapping[str, bytes]) -> str:
    total = hashlib.sha256()
    for name, data in sorted(files.items()):
        total.update(f"{name} {len(data)}\n".encode())
        total.update(data)
    return total.hexdigest()
