"""The base model's tokenizer: chat template, special tokens, stop ids."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.engine.tiny_models import CHAT_TEMPLATE, write_tokenizer
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from remora.engine.base import ToolFormat
from remora.engine.chat_template import HfTokenizer
from remora.engine.token_bytes import sentencepiece_bytes
from remora.errors import InvalidFile, InvalidInput

END, USER, ASSISTANT, SYSTEM = 256, 257, 258, 259


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tokenizer(tmp_path, chat_template=CHAT_TEMPLATE)


def test_text_goes_to_ids_and_back(folder: Path) -> None:
    tokenizer = HfTokenizer(folder)
    ids = tokenizer.encode("né, don 't €")
    assert len(ids) == len("né, don 't €".encode())
    assert tokenizer.decode(ids) == "né, don 't €"
    assert tokenizer.decode(ids[:-1]) == "né, don 't \ufffd"
    assert tokenizer.decode([*tokenizer.encode("a"), END]) == "a"


def test_a_conversation_takes_the_models_template(folder: Path) -> None:
    tokenizer = HfTokenizer(folder)
    ids = tokenizer.render_chat(
        [{"role": "system", "content": "be"}, {"role": "user", "content": "h"}],
    )
    assert ids == [SYSTEM, *tokenizer.encode("be"), END, USER, *tokenizer.encode("h"), END, ASSISTANT]


def test_a_template_that_refuses_is_the_callers_error(folder: Path) -> None:
    with pytest.raises(InvalidInput, match="no tools here") as caught:
        HfTokenizer(folder).render_chat([{"role": "tool", "content": "x"}])
    assert caught.value.param == "messages"


def test_without_a_template_a_conversation_is_plain_lines(tmp_path: Path) -> None:
    tokenizer = HfTokenizer(write_tokenizer(tmp_path))
    ids = tokenizer.render_chat([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}])
    assert tokenizer.decode(ids) == "user: hi\nassistant: yo\nassistant:"


@pytest.mark.parametrize(
    ("generation_config", "expected"),
    [
        (None, {END}),
        ('{"eos_token_id": 258}', {END, ASSISTANT}),
        ('{"eos_token_id": [256, 259]}', {END, SYSTEM}),
        ('{"temperature": 1.0}', {END}),
    ],
)
def test_stop_ids_are_those_of_tokenizer_and_generation(
    folder: Path, generation_config: str | None, expected: set[int]
) -> None:
    if generation_config is not None:
        (folder / "generation_config.json").write_text(generation_config)
    assert HfTokenizer(folder).stop_token_ids == expected


def test_files_that_are_no_tokenizer_are_named(folder: Path) -> None:
    (folder / "generation_config.json").write_text("[1]")
    with pytest.raises(InvalidFile, match=r"generation_config\.json"):
        HfTokenizer(folder)
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(InvalidFile, match="tokenizer in"):
        HfTokenizer(folder)


def test_the_bytes_of_a_token_are_those_it_stands_for(folder: Path) -> None:
    tokenizer = HfTokenizer(folder)
    text = "né 𐍈\n\x00"
    assert b"".join(map(tokenizer.token_bytes, tokenizer.encode(text))) == text.encode()
    assert tokenizer.token_bytes(USER) == b"<|user|>"
    assert tokenizer.token_bytes(99_999) == b""


@pytest.mark.parametrize(
    ("token", "raw"), [("▁the", b" the"), ("<0xE2>", b"\xe2"), ("é", "é".encode()), ("<s>", b"<s>")]
)
def test_the_bytes_of_a_sentencepiece_token(token: str, raw: bytes) -> None:
    assert sentencepiece_bytes(token) == raw


TOOL_TEMPLATE = (
    "{% if tools %}<|system|>{% for t in tools %}{{ t.function.name }}{% endfor %}<|end|>{% endif %}"
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% for c in m.tool_calls or [] %}"
    "{{ c.function.arguments.a }}{% endfor %}<|end|>{% endfor %}"
)


def test_tools_go_into_a_template_that_knows_them(tmp_path: Path) -> None:
    tokenizer = HfTokenizer(write_tokenizer(tmp_path, chat_template=TOOL_TEMPLATE))
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": {"a": 7}}}
    turns = [{"role": "assistant", "content": "x", "tool_calls": [call]}]
    tools = [{"type": "function", "function": {"name": "f"}}]
    ids = tokenizer.render_chat(turns, tools)
    assert ids == [SYSTEM, *tokenizer.encode("f"), END, ASSISTANT, *tokenizer.encode("x7"), END]


@pytest.mark.parametrize(
    ("template", "form"),
    [
        (CHAT_TEMPLATE, None),
        (TOOL_TEMPLATE, ToolFormat.UNKNOWN),
        (f"{TOOL_TEMPLATE}<tool_call>", ToolFormat.HERMES),
        (f"{TOOL_TEMPLATE}<|python_tag|>", ToolFormat.LLAMA),
        (f"{TOOL_TEMPLATE}[TOOL_CALLS]", ToolFormat.MISTRAL),
        (f"{TOOL_TEMPLATE}[TOOL_CALLS]name[ARGS]", ToolFormat.UNKNOWN),
        ("{{ messages[0].no_tools_here }}", None),
        (None, None),
    ],
)
def test_the_template_says_how_the_model_calls(
    tmp_path: Path, template: str | None, form: ToolFormat | None
) -> None:
    assert HfTokenizer(write_tokenizer(tmp_path, chat_template=template)).tool_format == form


def test_a_tokenizer_without_a_decoder_or_an_end_is_served(tmp_path: Path) -> None:
    plain = Tokenizer(models.WordLevel({"<unk>": 0, "hi": 1}, unk_token="<unk>"))
    PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="<unk>").save_pretrained(tmp_path)
    tokenizer = HfTokenizer(tmp_path)
    assert tokenizer.token_bytes(1) == b"hi"
    with pytest.raises(InvalidInput, match="no token to end"):
        tokenizer.constrain('start: "x"')
