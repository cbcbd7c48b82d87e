"""Adapters that bring a tokenizer or a template of their own: what is asked and answered with which."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.engine.tiny_models import TinyModel, a_request, answer, write_model
from transformers import AutoTokenizer

from remora.adapters.adapter import Adapter
from remora.adapters.peft.inspect import inspect_adapter
from remora.engine.text.adapter_text import AdapterTokenizers
from remora.engine.torch.engine import TorchEngine
from remora.errors import AdapterRejected

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TURNS = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hé <|user|>!"}]
ONLY_RAG = '{"chat_template": [{"name": "rag", "template": "x"}]}'
START, END = 260, 261


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    """Its matrices have rows to spare, as most have: added tokens need none of their own."""
    root = tmp_path_factory.mktemp("models")
    model = TinyModel(write_model(root / "base", "llama", vocab_size=288))
    model.add_adapter("plain", target_modules=["q_proj", "v_proj"], r=4)
    model.add_adapter("chat", target_modules=["q_proj", "v_proj"], r=4)
    bring_chatml(model, "chat")
    return model


def bring_chatml(model: TinyModel, name: str) -> None:
    """What TRL's `setup_chat_format` does to a tokenizer, and its trainer saves beside the adapter."""
    folder = model.adapters[name].path
    tokenizer = AutoTokenizer.from_pretrained(model.path)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.eos_token = "<|im_end|>"
    tokenizer.chat_template = CHATML
    tokenizer.save_pretrained(folder)
    model.adapters[name] = inspect_adapter(name, folder, None)


def changed(adapter: Adapter, tmp_path: Path, write: Callable[[Path], Any]) -> Adapter:
    """A copy of an adapter whose folder has something else in it."""
    folder = tmp_path / "changed"
    folder.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (folder / name).write_bytes((adapter.path / name).read_bytes())
    write(folder)
    return inspect_adapter("changed", folder, None)


def test_an_adapters_own_tokenizer_is_its_own_everywhere(tiny: TinyModel) -> None:
    tokenizers = AdapterTokenizers(tiny.path)
    tokenizer = tokenizers.of(tiny.adapters["chat"], 288)
    theirs = AutoTokenizer.from_pretrained(tiny.adapters["chat"].path)
    expected = theirs.apply_chat_template(TURNS, add_generation_prompt=True, return_dict=False)
    assert tokenizer.render_chat(TURNS) == list(expected)
    assert len(expected) < len(tokenizers.base.render_chat(TURNS)) + 30
    assert {START, END} <= set(expected)
    assert tokenizer.stop_token_ids == {256, END}  # the base's own end still ends
    assert tokenizer.encode("<|im_end|>") == [END]
    assert len(tokenizers.base.encode("<|im_end|>")) == len("<|im_end|>")
    assert tokenizer.decode([START, *tokenizer.encode("hé"), END]) == "hé"
    assert tokenizer.token_bytes(END) == b"<|im_end|>"
    mask = tokenizer.constrain('start: "ab"')
    for byte in b"ab":
        mask.advance(tokenizer.encode(chr(byte))[0])
    assert mask.mask()[END // 8] >> (END % 8) & 1  # the answer may end with its own end of turn


def test_adapters_with_the_same_files_share_a_tokenizer_and_others_have_the_bases(
    tiny: TinyModel, tmp_path: Path
) -> None:
    tokenizers = AdapterTokenizers(tiny.path)
    assert tokenizers.of(tiny.adapters["plain"], 288) is tokenizers.base
    chat = tiny.adapters["chat"]
    own = tokenizers.of(chat, 288)

    def the_same(folder: Path) -> None:
        for name in chat.text_files:
            (folder / name).write_bytes((chat.path / name).read_bytes())

    assert tokenizers.of(changed(chat, tmp_path, the_same), 288) is own


def test_a_tokenizer_that_was_only_written_again_is_the_bases(tiny: TinyModel, tmp_path: Path) -> None:
    """Training leaves truncation and padding in the file, and JSON can be written in many ways."""

    def rewritten(folder: Path) -> None:
        AutoTokenizer.from_pretrained(tiny.path).save_pretrained(folder)
        document = json.loads((folder / "tokenizer.json").read_text())
        document["truncation"] = {
            "direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0
        }  # fmt: skip
        (folder / "tokenizer.json").write_text(json.dumps(document))

    tokenizers = AdapterTokenizers(tiny.path)
    adapter = changed(tiny.adapters["plain"], tmp_path, rewritten)
    assert tokenizers.of(adapter, 288) is tokenizers.base


def test_a_template_alone_goes_with_the_bases_tokenizer(tiny: TinyModel, tmp_path: Path) -> None:
    template = "{% for m in messages %}[{{ m.content }}]{% endfor %}"
    adapter = changed(
        tiny.adapters["plain"], tmp_path, lambda folder: (folder / "chat_template.jinja").write_text(template)
    )
    assert adapter.digest != tiny.adapters["plain"].digest
    tokenizers = AdapterTokenizers(tiny.path)
    tokenizer = tokenizers.of(adapter, 288)
    assert tokenizer.decode(tokenizer.render_chat([{"role": "user", "content": "hi"}])) == "[hi]"
    assert tokenizer.stop_token_ids == tokenizers.base.stop_token_ids


def test_a_generation_config_says_what_ends_an_answer(tiny: TinyModel, tmp_path: Path) -> None:
    adapter = changed(
        tiny.adapters["plain"],
        tmp_path,
        lambda folder: (folder / "generation_config.json").write_text('{"eos_token_id": [257]}'),
    )
    assert AdapterTokenizers(tiny.path).of(adapter, 288).stop_token_ids == {256, 257}


def test_settings_that_say_nothing_of_the_end_leave_it_as_it_was(tiny: TinyModel, tmp_path: Path) -> None:
    """What ends the base's answers stands in its own generation config, beside another in its config."""
    base = tmp_path / "base"
    base.mkdir()
    for file in tiny.path.iterdir():
        (base / file.name).write_bytes(file.read_bytes())
    (base / "generation_config.json").write_text('{"eos_token_id": [258, 259]}')
    adapter = changed(
        tiny.adapters["plain"],
        tmp_path,
        lambda folder: (folder / "generation_config.json").write_text('{"repetition_penalty": 1.2}'),
    )
    assert AdapterTokenizers(base).of(adapter, 288).stop_token_ids == {256, 258, 259}
    assert adapter.generation_defaults == {"repetition_penalty": 1.2}


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"chat_template.jinja": "a\n{% if %}"}, r"line 2 is: \{% if %\}"),
        ({"chat_template.jinja": "{{ raise_exception('only tools') }}"}, "only tools"),
        ({"chat_template.jinja": "hello"}, "leaves out what the user says"),
        (
            {"tokenizer_config.json": '{"chat_template": [{"name": "rag", "template": "x"}]}'},
            "no default.*rag",
        ),
    ],
)
def test_a_template_that_answers_nobody_is_refused_with_its_line(
    tiny: TinyModel, tmp_path: Path, files: dict[str, str], named: str
) -> None:
    def write(folder: Path) -> None:
        for name, text in files.items():
            (folder / name).write_text(text)

    with pytest.raises(AdapterRejected, match=f"changed.*{named}"):
        changed(tiny.adapters["plain"], tmp_path, write)


def test_tokens_that_nothing_has_a_row_for_are_refused_by_name(tiny: TinyModel) -> None:
    with pytest.raises(AdapterRejected, match=r"'<\|im_start\|>' \(260\), '<\|im_end\|>' \(261\)"):
        AdapterTokenizers(tiny.path).of(tiny.adapters["chat"], 260)


async def test_a_batch_answers_each_in_its_own_tokens(tiny: TinyModel) -> None:
    engine = TorchEngine.load(tiny.path, dtype="float32")
    try:
        for each in tiny.adapters.values():
            engine.load_adapter(each)
        asked: list[tuple[str | None, list[int]]] = []
        for name in ("chat", "plain", None):
            adapter = tiny.adapters[name] if name else None
            tokenizer = engine.tokenizer_of(adapter.digest if adapter else None)
            asked.append((name, tokenizer.render_chat(TURNS)))
        requests = [
            a_request(ids, adapter=tiny.adapters[name] if name else None, max_tokens=12)
            for name, ids in asked
        ]
        streams = [engine.submit(request) for request in requests]
        answers = [[event.token_id async for event in stream] for stream in streams]
        assert answers == [tiny.reference(name, ids, 12) for name, ids in asked]
        assert asked[0][1] != asked[1][1] == asked[2][1]
        assert await answer(engine, requests[0]) == answers[0]
    finally:
        engine.close()
