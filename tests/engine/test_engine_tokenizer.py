"""The base model's tokenizer: chat template, special tokens, stop ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.engine.tiny_models import CHAT_TEMPLATE, write_tokenizer
from tokenizers import Tokenizer, models
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from remora.adapters.text.chat_templates import check_templates
from remora.engine.base import ToolFormat
from remora.engine.text.chat_template import HfTokenizer
from remora.engine.text.token_bytes import sentencepiece_bytes
from remora.errors import InvalidFile, InvalidInput, Refused

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


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ('{"eos_token_id": 258}', {END, ASSISTANT}),
        ('{"eos_token_id": [258, 259]}', {END, ASSISTANT, SYSTEM}),
        ('{"text_config": {"eos_token_id": 258}}', {END, ASSISTANT}),
    ],
)
def test_without_a_generation_config_the_config_says_what_ends(
    folder: Path, config: str, expected: set[int]
) -> None:
    (folder / "config.json").write_text(config[:-1] + ', "model_type": "llama"}')
    assert HfTokenizer(folder).stop_token_ids == expected
    (folder / "generation_config.json").write_text('{"eos_token_id": 257}')
    assert HfTokenizer(folder).stop_token_ids == {END, USER}


PARTS_TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{% for part in m.content %}{% if part.type == 'text' %}"
    "{{ part.text }}{% endif %}{% endfor %}<|end|>{% endfor %}"
)


def test_a_template_that_takes_parts_is_given_parts(tmp_path: Path) -> None:
    """As text, what the user says would vanish: a text's characters have no type."""
    tokenizer = HfTokenizer(write_tokenizer(tmp_path, chat_template=PARTS_TEMPLATE))
    turns = [{"role": role, "content": role} for role in ("system", "user", "assistant")]
    ids = tokenizer.render_chat(turns)
    expected = [SYSTEM, *tokenizer.encode("system"), END, USER, *tokenizer.encode("user"), END]
    assert ids == [*expected, ASSISTANT, *tokenizer.encode("assistant"), END]


def test_each_role_is_given_the_form_that_it_takes(tmp_path: Path) -> None:
    template = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ m.content | upper | lower }}{% else %}"
        "{% for part in m.content %}{{ part.text }}{% endfor %}{% endif %}{% endfor %}"
    )
    tokenizer = HfTokenizer(write_tokenizer(tmp_path, chat_template=template))
    turns = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi"}]
    assert tokenizer.decode(tokenizer.render_chat(turns)) == "be kindhi"


LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"


def test_a_template_that_runs_for_ever_is_stopped_and_the_next_conversation_is_rendered(folder: Path) -> None:
    template = (
        "{% for m in messages %}{{ m.content }}{% if m.content == 'loop' %}"
        + LOOP
        + "{% endif %}{% endfor %}"
    )
    tokenizer = HfTokenizer(write_tokenizer(folder, chat_template=template))
    with pytest.raises(InvalidInput, match="takes more than 3 seconds"):
        tokenizer.render_chat([{"role": "user", "content": "loop"}])
    assert tokenizer.decode(tokenizer.render_chat([{"role": "user", "content": "hi"}])) == "hi"


@pytest.mark.parametrize(
    ("template", "named"),
    [
        (f"a\n{LOOP}", "takes more than 3 seconds"),
        ("a\n{% if messages %}\n{% endfor %}", r"line 3 is: \{% endfor %\}"),
        ("{{ messages[1].content }}", r"refuses a user's message.*line 1 is: \{\{ messages\[1\]"),
        ("{{ 1 // 0 }}", "ZeroDivisionError"),
        ("{{ 'x' * 9999999999 }}", "more memory than a template may"),
        ("hello", "leaves out what the user says"),
        ({"rag": "x", "tool_use": "y"}, "no default: there are only rag, tool_use"),
    ],
)
def test_a_template_that_can_answer_nobody_is_refused_with_its_line(
    tmp_path: Path, template: str | dict[str, str], named: str
) -> None:
    write_tokenizer(tmp_path, chat_template=template)
    with pytest.raises(Refused, match=rf"(?s){tmp_path}.*{named}") as caught:
        HfTokenizer(tmp_path)
    assert "chat_template.jinja" in caught.value.hint
    with pytest.raises(Refused, match=f"(?s){named}"):
        check_templates(tmp_path, Refused, what="here")


REAL = (
    "{{ bos_token }}{% for m in messages %}{% generation %}[{{ m.content | trim }}]{% endgeneration %}\n"
    "{% endfor %}"
)


@pytest.mark.parametrize(
    "template",
    [
        CHAT_TEMPLATE,
        REAL,
        "{%- set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}\n  {% if loop.last %}"
        "{{ ns.n }}{{ m | tojson }}{{ strftime_now('%Y') }}{% break %}{% endif %}{% endfor %}"
        "{{ messages | length }}",
        "{{ messages[-1].content.split('k')[-1] ~ messages[0].content ~ dict(a=1) }}",
        "{% for m in messages %}{{ m.tool_calls is defined }}{{ m.content }}{% endfor %}",
    ],
)
def test_templates_render_as_in_transformers(tmp_path: Path, template: str) -> None:
    write_tokenizer(tmp_path, chat_template=template)
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": " ask <é> \U0001f600 "},
        {"role": "assistant", "content": "k", "tool_calls": None},
        {"role": "user", "content": "ok"},
    ]
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    expected = theirs.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    assert HfTokenizer(tmp_path).render_chat(turns) == list(expected)


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
        ("{{ messages[0].content }}{{ messages[0].no_tools_here }}", None),
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
