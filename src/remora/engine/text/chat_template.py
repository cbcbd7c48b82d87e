"""A tokenizer with its chat template. Owns text to ids and back; knows no weights."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import llguidance.hf
from jinja2 import Environment
from tokenizers import Tokenizer as FastTokenizer
from transformers import AutoTokenizer

from remora.adapters.text.chat_templates import ChatTemplates, refused, usable_templates
from remora.adapters.text.template_process import TemplateFailed, TemplateProcess
from remora.adapters.text.text_files import GENERATION_CONFIG, brings_template
from remora.engine.base import ThoughtMarks, ToolFormat
from remora.engine.text.grammar import GrammarConstraint, compile_grammar
from remora.engine.text.token_bytes import byte_level_bytes, sentencepiece_bytes
from remora.errors import InvalidFile, InvalidInput, Refused, listed

MODEL_CONFIG = "config.json"
GENERATION_PROMPT = "add_generation_prompt"
END_OF_BEGUN = "REMORA9GOES9ON9HERE"  # letters and digits alone: no template escapes or trims them
# What a template has in it that teaches the model this way of calling; the first that is found decides.
TOOL_MARKS = {
    "<tool_call>": ToolFormat.HERMES,
    "<|python_tag|>": ToolFormat.LLAMA,
    "[ARGS]": ToolFormat.UNKNOWN,  # Mistral's newer way: a special token between name and arguments
    "[TOOL_CALLS]": ToolFormat.MISTRAL,
}
# Tags that tokenizers keep as text; the first whose end is found in a template is its own.
THOUGHT_TAGS = ("think", "thinking", "thought", "reasoning", "seed:think")
THOUGHT_MARKS = tuple(ThoughtMarks(f"<{tag}>", f"</{tag}>") for tag in THOUGHT_TAGS)


class HfTokenizer:
    """Keeps the Tokenizer contract with the tokenizer files of a Hugging Face checkpoint.

    A tokenizer without a chat template (most base checkpoints) gets the plainest one: a line
    `role: content` for each message, then `assistant:`.
    """

    def __init__(self, path: Path, *, base: HfTokenizer | None = None) -> None:
        """That of `base` has what the folder leaves out: its template, its process, its ends of an answer.

        Raises InvalidFile where it cannot be loaded, Refused where its template answers nobody.
        """
        self._tokenizer = _loaded(path)
        if base is not None and not brings_template(path):
            self._tokenizer.chat_template = base._tokenizer.chat_template
        self._process: TemplateProcess = TemplateProcess() if base is None else base._process
        self._special_tokens = dict(self._tokenizer.special_tokens_map)
        self._templates = self._usable_templates(path)
        self._stop_token_ids = self._ends(path, base)
        self._special_ids = frozenset(self._tokenizer.all_special_ids)
        self._is_byte_level = _is_byte_level(self._tokenizer)
        self._template_names = _names(self._templates.for_tools) | _names(self._templates.default)
        if not self._templates.default:
            self._template_names = frozenset({GENERATION_PROMPT})
        self._tool_format = _tool_format(self._templates.for_tools)
        self._thought_marks = _thought_marks(self._templates.default)
        self._grammar_tokenizer: llguidance.LLTokenizer | None = None
        self._lock = threading.Lock()

    @property
    def info(self) -> Mapping[str, Any]:
        return {
            "tokenizer_class": type(self._tokenizer).__name__,
            **{name: str(token) for name, token in self._special_tokens.items() if isinstance(token, str)},
            "chat_template": self._templates.default or None,
        }

    @property
    def stop_token_ids(self) -> frozenset[int]:
        return self._stop_token_ids

    @property
    def identity(self) -> str:
        """Equal for two tokenizers that do the same: how files are written does not count."""
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        if isinstance(backend, FastTokenizer):
            vocabulary = json.loads(backend.to_str()) | {"truncation": None, "padding": None}
        else:
            vocabulary = self._tokenizer.get_vocab()
        parts = [vocabulary, self._special_tokens, sorted(self._stop_token_ids)]
        parts += [self._templates.default, self._templates.tool_use]
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=add_special_tokens))

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        # Cleaning up spaces would change text that was already delivered.
        return str(
            self._tokenizer.decode(
                list(ids), skip_special_tokens=skip_special_tokens, clean_up_tokenization_spaces=False
            )
        )

    def token_of(self, token_id: int) -> str | None:
        """How the vocabulary spells an id; None where it has none."""
        token = self._tokenizer.convert_ids_to_tokens(token_id)
        return None if token is None else str(token)

    def token_bytes(self, token_id: int) -> bytes:
        token = self.token_of(token_id)
        if token is None:  # models have more rows than their tokenizer has tokens
            return b""
        if token_id in self._special_ids:
            return token.encode()
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

    @property
    def thought_marks(self) -> ThoughtMarks | None:
        return self._thought_marks

    @property
    def template_names(self) -> frozenset[str]:
        return self._template_names

    def render_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] = (),
        variables: Mapping[str, Any] = MappingProxyType({}),
        *,
        continued: bool = False,
    ) -> list[int]:
        if not self._templates.default:
            return self.encode(_plain(messages, variables.get(GENERATION_PROMPT, True), continued))
        said = [*messages[:-1], _marked(messages[-1])] if continued else messages
        try:
            text = self._rendered(said, tools, variables)
        except TemplateFailed as error:
            raise self._refusal(error, said, tools, variables) from error
        return list(self._tokenizer(_cut(text) if continued else text, add_special_tokens=False)["input_ids"])

    def _rendered(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]],
        variables: Mapping[str, Any],
    ) -> str:
        return self._templates.render(self._process, messages, tools, {**self._special_tokens, **variables})

    def _refusal(
        self,
        error: TemplateFailed,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]],
        variables: Mapping[str, Any],
    ) -> InvalidInput:
        """Whether it is the variables that the template does not take, or the messages."""
        if variables:
            with suppress(TemplateFailed):
                self._rendered(messages, tools, {})
                return InvalidInput(
                    f"the model's chat template does not take these variables: {error}",
                    hint=f"leave out {listed(map(repr, variables))}",
                    param="chat_template_kwargs",
                )
        return InvalidInput(
            f"the model's chat template refuses these messages: {error}",
            hint="most templates want user and assistant to take turns, after at most one system message",
            param="messages",
        )

    def _usable_templates(self, path: Path) -> ChatTemplates:
        try:
            return usable_templates(self._tokenizer.chat_template, self._process, self._special_tokens)
        except TemplateFailed as error:
            raise refused(Refused, str(path), error) from error

    def _ends(self, path: Path, base: HfTokenizer | None) -> frozenset[int]:
        """The tokenizer's end of sequence, and what the folder, else the base's, lists (end of turn)."""
        own = self._tokenizer.eos_token_id
        ids = set() if own is None else {own}
        listed = listed_ends(path, (GENERATION_CONFIG,) if base else (GENERATION_CONFIG, MODEL_CONFIG))
        if base is not None and not listed:
            # An id of the base's is an end here where it is the same token.
            ids |= {end for end in base.stop_token_ids if self.token_of(end) == base.token_of(end)}
        return frozenset(ids | listed)


def _loaded(path: Path) -> Any:
    try:
        return AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers raises whatever its parts raise
        reason = str(error).strip().partition("\n")[0]
        raise InvalidFile(
            f"the tokenizer in {path} cannot be loaded: {reason}",
            hint="copy tokenizer.json and tokenizer_config.json of the base model into that folder",
        ) from error


def _is_byte_level(tokenizer: Any) -> bool:
    """Whether its tokens are spelt byte by byte; without a decoder tokens are joined as they are."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    decoder = getattr(backend, "decoder", None)
    return decoder is not None and b'"ByteLevel"' in decoder.__getstate__()


def _tool_format(template: str) -> ToolFormat | None:
    if "tools" not in _names(template):
        return None
    return next((form for mark, form in TOOL_MARKS.items() if mark in template), ToolFormat.UNKNOWN)


def _thought_marks(template: str) -> ThoughtMarks | None:
    return next((marks for marks in THOUGHT_MARKS if marks.close in template), None)


def _names(template: str) -> frozenset[str]:
    tokens = Environment(autoescape=True).lex(template)
    return frozenset(value for _, kind, value in tokens if kind == "name")


def _plain(messages: Sequence[Mapping[str, Any]], asks: bool, continued: bool) -> str:
    """The plainest template: a line for each message."""
    text = "".join(f"{message['role']}: {message['content']}\n" for message in messages)
    if continued:
        return text.removesuffix("\n")
    return text + "assistant:" if asks else text


def _marked(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """With a mark behind its text: templates may trim the text, and end it in ways of their own."""
    return {**message, "content": f"{message['content']}{END_OF_BEGUN}"}


def _cut(text: str) -> str:
    """What a template made of messages, up to the mark."""
    begun, mark, _ = text.rpartition(END_OF_BEGUN)
    if not mark:
        raise InvalidInput(
            "'continue_final_message' is not supported: the chat template does not show the last message",
            hint="leave it out",
            param="continue_final_message",
        )
    return begun


def listed_ends(path: Path, names: Sequence[str]) -> frozenset[int]:
    """The `eos_token_id` of the first of these files that there is: as in transformers."""
    for name in names:
        file = path / name
        if not file.is_file():
            continue
        try:
            document = json.loads(file.read_text("utf-8"))
            listed = document.get("eos_token_id") or (document.get("text_config") or {}).get("eos_token_id")
        except (ValueError, AttributeError) as error:
            raise InvalidFile(f"{file} is not a JSON object: {error}") from error
        ids = listed if isinstance(listed, list) else [listed]
        return frozenset(token_id for token_id in ids if isinstance(token_id, int))
    return frozenset()
