"""The base model's own tokenizer and chat template. Owns text to ids and back; knows no weights."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import llguidance.hf
from jinja2 import Environment, TemplateError
from transformers import AutoTokenizer

from remora.engine.base import ToolFormat
from remora.engine.grammar import GrammarConstraint, compile_grammar
from remora.engine.token_bytes import byte_level_bytes, sentencepiece_bytes
from remora.errors import InvalidFile, InvalidInput

# What a template has in it that teaches the model this way of calling; the first that is found decides.
TOOL_MARKS = {
    "<tool_call>": ToolFormat.HERMES,
    "<|python_tag|>": ToolFormat.LLAMA,
    "[ARGS]": ToolFormat.UNKNOWN,  # Mistral's newer way: a special token between name and arguments
    "[TOOL_CALLS]": ToolFormat.MISTRAL,
}


class HfTokenizer:
    """Keeps the Tokenizer contract with the tokenizer files of a Hugging Face checkpoint.

    A tokenizer without a chat template (most base checkpoints) gets the plainest one: a line
    `role: content` for each message, then `assistant:`.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(
                path, local_files_only=True, trust_remote_code=False
            )
        except Exception as error:  # transformers raises whatever its parts raise
            reason = str(error).strip().partition("\n")[0]
            raise InvalidFile(
                f"the tokenizer in {path} cannot be loaded: {reason}",
                hint="copy tokenizer.json and tokenizer_config.json of the base model into that folder",
            ) from error
        self._stop_token_ids = _stop_token_ids(path, self._tokenizer.eos_token_id)
        self._special_ids = frozenset(self._tokenizer.all_special_ids)
        self._is_byte_level = _is_byte_level(self._tokenizer)
        self._tool_format = _tool_format(str(self._tokenizer.chat_template or ""))
        self._grammar_tokenizer: llguidance.LLTokenizer | None = None
        self._lock = threading.Lock()

    @property
    def stop_token_ids(self) -> frozenset[int]:
        return self._stop_token_ids

    def encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text))

    def decode(self, ids: Sequence[int]) -> str:
        # Cleaning up spaces would change text that was already delivered.
        return str(
            self._tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        )

    def token_bytes(self, token_id: int) -> bytes:
        token = self._tokenizer.convert_ids_to_tokens(token_id)
        if token is None:  # models have more rows than their tokenizer has tokens
            return b""
        if token_id in self._special_ids:
            return str(token).encode()
        return byte_level_bytes(token) if self._is_byte_level else sentencepiece_bytes(token)

    def constrain(self, grammar: str) -> GrammarConstraint:
        with self._lock:  # a second of work for a large vocabulary: once, and only where grammars are used
            if self._grammar_tokenizer is None:
                self._grammar_tokenizer = self._read_for_grammars()
        return compile_grammar(self._grammar_tokenizer, grammar)

    def _read_for_grammars(self) -> llguidance.LLTokenizer:
        if not self._stop_token_ids:
            raise InvalidInput("this model's tokenizer has no token to end an answer with")
        try:
            return llguidance.hf.from_tokenizer(self._tokenizer, eos_token=sorted(self._stop_token_ids))
        except ValueError as error:
            raise InvalidInput(f"grammars cannot be used with this model's tokenizer: {error}") from error

    @property
    def tool_format(self) -> ToolFormat | None:
        return self._tool_format

    def render_chat(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()
    ) -> list[int]:
        if not self._tokenizer.chat_template:
            return self.encode("".join(f"{_line(message)}\n" for message in messages) + "assistant:")
        try:
            ids = self._tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                tools=[dict(tool) for tool in tools] or None,
                add_generation_prompt=True,
                tokenize=True,
                return_dict=False,
            )
        except (
            TemplateError,
            TypeError,
        ) as error:  # templates are programs, and some add what cannot be added
            raise InvalidInput(
                f"the model's chat template refuses these messages: {error}",
                hint="most templates want user and assistant to take turns, after at most one system message",
                param="messages",
            ) from error
        return list(ids)


def _is_byte_level(tokenizer: Any) -> bool:
    """Whether its tokens are spelt byte by byte; without a decoder tokens are joined as they are."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    decoder = getattr(backend, "decoder", None)
    return decoder is not None and b'"ByteLevel"' in decoder.__getstate__()


def _tool_format(template: str) -> ToolFormat | None:
    names = {value for _, kind, value in Environment(autoescape=True).lex(template) if kind == "name"}
    if "tools" not in names:
        return None
    return next((form for mark, form in TOOL_MARKS.items() if mark in template), ToolFormat.UNKNOWN)


def _line(message: Mapping[str, Any]) -> str:
    return f"{message['role']}: {message['content']}"


def _stop_token_ids(path: Path, tokenizer_eos: int | None) -> frozenset[int]:
    """The tokenizer's end of sequence, and what `generation_config.json` lists (end of turn)."""
    ids = set() if tokenizer_eos is None else {tokenizer_eos}
    file = path / "generation_config.json"
    if file.is_file():
        try:
            listed = json.loads(file.read_text("utf-8")).get("eos_token_id")
        except (ValueError, AttributeError) as error:
            raise InvalidFile(f"{file} is not a JSON object: {error}") from error
        ids |= set(listed) if isinstance(listed, list) else {listed}
    return frozenset(token_id for token_id in ids if isinstance(token_id, int))
