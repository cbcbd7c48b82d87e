"""Base models and adapters are found wherever they lie, and look-alikes rejected with the reason."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from remora.errors import NotFound, ProjectIncomplete
from remora.project.files.regular_file import shown
from remora.project.model_name import last_name, same_name
from remora.project.workspace import find_workspace, read_base_model

LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 32,
    "max_position_embeddings": 512,
}
LORA = {"peft_type": "LORA", "base_model_name_or_path": "phi-2"}


def put(root: Path, path: str, content: object = "") -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def put_base(root: Path, folder: str, config: dict[str, object] | None = None) -> None:
    put(root, f"{folder}/config.json", LLAMA if config is None else config)
    put(root, f"{folder}/model.safetensors", "weights")
    put(root, f"{folder}/tokenizer.json", "{}")


def put_adapter(root: Path, folder: str) -> None:
    put(root, f"{folder}/adapter_config.json", LORA)
    put(root, f"{folder}/adapter_model.safetensors", "weights")


def reasons(root: Path) -> dict[str, str]:
    return {item.path.relative_to(root).as_posix(): item.reason for item in find_workspace(root).rejected}


def test_ai_toolkits_layout_is_read_as_it_is(tmp_path: Path) -> None:
    put_base(tmp_path, "model-cache/microsoft/phi-2")
    put_adapter(tmp_path, "models/qlora/qlora/gpu_model/adapter")
    put_adapter(tmp_path, "models/checkpoints/checkpoint-10")
    put(tmp_path, "finetuning/olive-config.json", {"model_type": "x"})
    workspace = find_workspace(tmp_path)
    (base,) = workspace.bases
    assert (base.name, base.architecture, base.model_type) == ("phi-2", "LlamaForCausalLM", "llama")
    assert (base.vocab_size, base.context_length) == (32, 512)
    assert base.files == ("config.json", "model.safetensors", "tokenizer.json")
    assert base.size_bytes == sum((base.path / name).stat().st_size for name in base.files)
    assert [(found.name, found.base_model_name) for found in workspace.adapters] == [("qlora", "phi-2")]
    assert workspace.rejected == ()


def test_names_are_the_shortest_that_tell_adapters_apart(tmp_path: Path) -> None:
    folders = ["adapters/tone", "adapters/Joke Teller", "old/v1/adapter", "new/v1/adapter", "x/lora/tone"]
    for folder in folders:
        put_adapter(tmp_path, folder)
    found = find_workspace(tmp_path).adapters
    names = {item.path.relative_to(tmp_path).as_posix(): item.name for item in found}
    assert names == {
        "adapters/tone": "tone",
        "adapters/Joke Teller": "joke-teller",
        "old/v1/adapter": "old-v1",
        "new/v1/adapter": "new-v1",
        "x/lora/tone": "x-tone",
    }


def test_an_adapter_folder_may_be_the_project(tmp_path: Path) -> None:
    root = tmp_path / "Tone"
    put_adapter(root, ".")
    put_adapter(root, "adapters")
    assert [item.name for item in find_workspace(root).adapters] == ["tone", "tone-2"]


@pytest.mark.parametrize(
    "folder",
    [".venv/x", "venv/x", "node_modules/x", ".git/x", ".remora/x", ".hidden/x", "checkpoint-5/x", "a/" * 14],
)
def test_some_folders_are_never_looked_into(tmp_path: Path, folder: str) -> None:
    put_adapter(tmp_path, folder)
    put_base(tmp_path, folder)
    workspace = find_workspace(tmp_path)
    assert (workspace.adapters, workspace.bases, workspace.rejected) == ((), (), ())


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (
            {"adapter_config.json": "{", "adapter_model.safetensors": ""},
            "adapter_config.json:1:2: not valid JSON",
        ),
        ({"adapter_config.json": [], "adapter_model.safetensors": ""}, "expected an object"),
        ({"adapter_config.json": LORA}, "no adapter_model.safetensors"),
        ({"adapter_config.json": LORA, "adapter_model.bin": ""}, "only pickle weights"),
        ({"config.json": LLAMA}, "no weights"),
        ({"config.json": LLAMA, "pytorch_model.bin": "", "tokenizer.json": ""}, "only pickle weights"),
        ({"config.json": LLAMA, "model.safetensors": ""}, "no tokenizer"),
        ({"config.json": "{", "model.safetensors": "", "tokenizer.json": ""}, "not valid JSON"),
        ({"config.json": {}, "model.safetensors": "", "tokenizer.json": ""}, "neither architectures"),
        (
            {"config.json": {"architectures": ["BertModel"]}, "model.safetensors": "", "vocab.txt": ""},
            "BertModel does not generate text",
        ),
    ],
)
def test_what_only_looks_right_is_rejected_with_the_reason(
    tmp_path: Path, files: dict[str, object], reason: str
) -> None:
    for name, content in files.items():
        put(tmp_path, f"thing/{name}", content)
    workspace = find_workspace(tmp_path)
    assert (workspace.bases, workspace.adapters) == ((), ())
    assert reason in reasons(tmp_path)["thing"]


def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    root, outside = tmp_path / "project", tmp_path / "outside"
    put_adapter(outside, "secret")
    put_base(outside, "model")
    root.mkdir()
    (root / "linked").symlink_to(outside / "secret")
    put(root, "adapters/tone/adapter_config.json", LORA)
    (root / "adapters/tone/adapter_model.safetensors").symlink_to(outside / "model/model.safetensors")
    put_base(root, "base")
    (root / "base/generation_config.json").symlink_to(outside / "secret/adapter_config.json")
    workspace = find_workspace(root)
    assert (workspace.adapters, workspace.bases) == ((), ())
    assert set(reasons(root)) == {"adapters/tone", "base"}
    assert all("link that leads out" in reason for reason in reasons(root).values())


def skipped(root: Path) -> dict[str, str]:
    return {item.path.relative_to(root).as_posix(): item.reason for item in find_workspace(root).skipped}


def test_adapters_that_are_passed_by_are_named_with_the_reason(tmp_path: Path) -> None:
    root = tmp_path / "project"
    for folder in ("checkpoints/tone", "env/tone", "cache/a/b", ".old/tone"):
        put_adapter(root, folder)
    put_adapter(root, "done")
    put_adapter(root, "done/checkpoint-10")  # what it was is no news beside what it became
    put_adapter(tmp_path, "elsewhere")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "inside").symlink_to(root / "done")
    found = skipped(root)
    assert set(found) == {
        "checkpoints/tone",
        "env/tone",
        "cache/a/b",
        ".old/tone",
        "linked",
    }
    assert "a training's checkpoints" in found["checkpoints/tone"]
    assert "hidden" in found[".old/tone"]
    assert "a link that leads out of" in found["linked"]
    assert all("list it under [adapters] in remora.toml" in reason for reason in found.values())


def test_the_newest_whole_checkpoint_stands_for_a_training_without_a_final_adapter(tmp_path: Path) -> None:
    for step in (9, 100, 20):
        put_adapter(tmp_path, f"runs/tone/checkpoint-{step}")
    put(tmp_path, "runs/tone/checkpoint-200/adapter_config.json", LORA)  # killed before its weights came
    found = find_workspace(tmp_path)
    assert [(item.name, item.path.name) for item in found.adapters] == [("tone", "checkpoint-100")]
    (note,) = found.notes
    assert "runs/tone: " in note
    assert "checkpoint-100, the newest, is taken, not checkpoint-9, checkpoint-20" in note
    put_adapter(tmp_path, "runs/tone")
    found = find_workspace(tmp_path)
    assert ([item.path.name for item in found.adapters], found.notes) == (["tone"], ())


def test_many_that_are_passed_by_are_counted(tmp_path: Path) -> None:
    for number in range(8):
        put_adapter(tmp_path, f"checkpoints/{number}")
    assert len(skipped(tmp_path)) == 6
    assert skipped(tmp_path)["checkpoints"].startswith("3 more adapters")


def test_an_odd_entry_costs_itself_alone(tmp_path: Path) -> None:
    put_base(tmp_path, "base")
    put_adapter(tmp_path, "tone")
    for folder in ("pipe", "device", "circle", "nowhere", "socket"):
        (tmp_path / folder).mkdir()
    os.mkfifo(tmp_path / "pipe/config.json")
    (tmp_path / "device/adapter_config.json").symlink_to("/dev/zero")
    (tmp_path / "circle/config.json").symlink_to("config.json")
    (tmp_path / "nowhere/adapter_model.safetensors").symlink_to("gone")
    os.mkfifo(tmp_path / "base/extra.json")
    odd_name = os.fsdecode(b"b\xff")
    put_adapter(tmp_path, odd_name)
    (tmp_path / "base" / f"{odd_name}.json").write_text("{}")
    workspace = find_workspace(tmp_path)
    assert [adapter.name for adapter in workspace.adapters] == ["tone"]
    (base,) = workspace.bases
    assert base.files == ("config.json", "model.safetensors", "tokenizer.json")
    told = {shown(item.path.relative_to(tmp_path)): item.reason for item in workspace.rejected}
    assert told == {
        "pipe/config.json": "a named pipe, not a file",
        "device/adapter_config.json": "a device, not a file",
        "circle/config.json": "a link that leads back to itself, not a file",
        "nowhere/adapter_model.safetensors": "a link that leads nowhere, not a file",
        "base/extra.json": "a named pipe, not a file",
        r"base/b\xff.json": "its name is not UTF-8; give it another",
    }
    assert {shown(item.path.relative_to(tmp_path)) for item in workspace.skipped} == {r"b\xff"}


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"text_config": {}, "vision_config": {}, "model_type": "llava"}, "a multimodal model (llava"),
        ({"is_encoder_decoder": True, "model_type": "t5"}, "an encoder-decoder model (t5)"),
        ({"quantization_config": {"bits": 4}, "_name_or_path": "x/y-bnb-4bit"}, "the base: y;"),
    ],
)
def test_a_base_that_nothing_serves_is_rejected_with_the_reason(
    tmp_path: Path, config: dict[str, object], reason: str
) -> None:
    put_base(tmp_path, "model", LLAMA | config)
    assert find_workspace(tmp_path).bases == ()
    assert reason in reasons(tmp_path)["model"]


def test_links_inside_the_folder_are_fine(tmp_path: Path) -> None:
    snapshot = "model-cache/models--microsoft--phi-2/snapshots/" + "a1" * 20
    put_base(tmp_path, snapshot)
    blob = put(tmp_path, "model-cache/models--microsoft--phi-2/blobs/b10b", "weights")
    (tmp_path / snapshot / "model.safetensors").unlink()
    (tmp_path / snapshot / "model.safetensors").symlink_to(blob)
    assert [base.name for base in find_workspace(tmp_path).bases] == ["phi-2"]


def test_only_what_an_engine_needs_belongs_to_a_base(tmp_path: Path) -> None:
    put_base(tmp_path, "base")
    for name in (
        ".env",
        "README.md",
        "pytorch_model.bin",
        "train.py",
        "chat_template.jinja",
        "adapter_config.json",
    ):
        put(tmp_path, f"base/{name}", "{}")
    expected = ("chat_template.jinja", "config.json", "model.safetensors", "tokenizer.json")
    assert read_base_model(tmp_path / "base").files == expected


def test_a_folder_that_is_no_base_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProjectIncomplete, match="not a usable base model"):
        read_base_model(tmp_path)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="is not a folder"):
        find_workspace(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("microsoft/phi-2", "phi-2"),
        ("/mount/model-cache/microsoft/phi-2/", "phi-2"),
        (r"C:\models\phi-2", "phi-2"),
        ("hub/models--microsoft--phi-2/snapshots/" + "0" * 40, "phi-2"),
        ("../base", None),
        ("", None),
        (".", None),
        ("x/" + "ab" * 32, None),
        ("out/checkpoint-500", None),
    ],
)
def test_last_name(text: str, name: str | None) -> None:
    assert last_name(text) == name


def test_same_name() -> None:
    assert same_name("Phi_3.mini", "phi-3-mini")
    assert not same_name("phi-2", "phi-20")
    assert same_name("phi-2-bnb-4bit", "Phi 2")
