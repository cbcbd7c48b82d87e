"""A base model that only the hub has: what is said, asked and downloaded, and what then serves."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.cli.command import User
from tests.cli.trained_folder import make_base
from tests.wild.hub import COMMIT, Hub, serving
from tests.wild.layouts import LLAMA, adapter_at

EXAMPLE = Path(__file__).parents[2] / "examples" / "tone"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A model with all that repositories on the hub hold besides."""
    folder = make_base(tmp_path / "there")
    (folder / "generation_config.json").write_text('{"do_sample": false}')
    for other in (
        "README.md",
        "pytorch_model.bin",
        "consolidated.safetensors",
        "modeling_llama.py",
        "x.gguf",
    ):
        (folder / other).write_bytes(b"not for us")
    with serving(Hub({LLAMA: folder})) as hub:
        yield hub


@pytest.fixture
def user(tmp_path: Path, hub: Hub) -> User:
    settings = {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "huggingface"),
        "HF_HUB_CACHE": str(tmp_path / "huggingface" / "hub"),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_TOKEN": "",
    }
    return User(tmp_path / "home", settings)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    adapter_at(tmp_path / "place" / "project" / "lora", LLAMA)
    return tmp_path / "place" / "project"


def blobs(user: User) -> Path:
    return Path(user.settings["HF_HUB_CACHE"]) / f"models--{LLAMA.replace('/', '--')}" / "blobs"


def test_nothing_large_is_downloaded_without_a_yes_and_the_named_command_does_it(
    user: User, hub: Hub, project: Path
) -> None:
    refused = user.run("init", str(project))
    assert refused.code == 3, refused
    names = ("model.safetensors", "tokenizer.json", "generation_config.json")
    size = sum((hub.models[LLAMA] / name).stat().st_size for name in names)
    assert f"{LLAMA} is not on this machine: 3 files, {size:,} bytes" in refused.message
    assert set(hub.downloaded()) == {"config.json"}
    done = user.run(*refused.document["next"][1:])
    assert done.code == 0, done
    assert "Hugging Face cache, as meta-llama/Llama-3.2-1B-Instruct" in done.document["base"]["found"]
    assert set(hub.downloaded()) == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
    }
    asked = len(hub.asked)
    assert user.run("init", str(project)).code == 0
    assert len(hub.asked) == asked  # what is in the cache asks nobody


def test_somebody_at_a_terminal_is_asked_with_the_size(user: User, hub: Hub, project: Path) -> None:
    terminal = user.at_terminal("init", str(project))
    terminal.answer("y")
    ran = terminal.finish()
    assert ran.code == 0, ran
    assert f"Download the base model {LLAMA}: 3 files" in ran.stderr


def test_the_original_of_a_quantized_name_is_asked_for(user: User, hub: Hub, project: Path) -> None:
    adapter_at(project / "lora", f"{LLAMA}-bnb-4bit")
    ran = user.run("init", str(project), "--yes")
    assert ran.code == 0, ran
    assert LLAMA in ran.document["base"]["found"]


def test_what_came_before_an_interruption_does_not_come_again(user: User, hub: Hub, project: Path) -> None:
    hub.failing = {"model.safetensors"}
    ran = user.run("init", str(project), "--yes")
    assert (ran.code, ran.document["error"]["code"]) == (7, "cloud_unavailable"), ran
    had = set(hub.downloaded()) - hub.failing
    hub.failing = set()
    hub.asked.clear()
    ran = user.run("init", str(project), "--yes")
    assert ran.code == 0, ran
    assert "model.safetensors" in hub.downloaded()
    assert not had & set(hub.downloaded())


def test_a_gated_model_needs_a_token_and_offline_mode_is_kept_to(user: User, hub: Hub, project: Path) -> None:
    hub.token = "hf_mine"
    ran = user.run("init", str(project), "--yes")
    assert (ran.code, ran.document["error"]["param"]) == (4, "HF_TOKEN"), ran
    hub.asked.clear()
    user.settings["HF_HUB_OFFLINE"] = "1"
    ran = user.run("init", str(project), "--yes")
    assert (ran.code, hub.asked) == (7, []), ran
    assert "--base PATH" in ran.message
    user.settings.update(HF_HUB_OFFLINE="0", HF_TOKEN="hf_mine")
    assert user.run("init", str(project), "--yes").code == 0
    assert "hf_mine" not in ran.stderr


def test_a_model_that_the_hub_does_not_have_is_told(user: User, project: Path) -> None:
    adapter_at(project / "lora", "nobody/nothing")
    ran = user.run("init", str(project), "--yes")
    assert ran.code == 3
    assert "nobody/nothing is no model that the Hugging Face hub shows" in ran.message


@pytest.mark.timeout(400)
def test_up_goes_from_an_adapter_alone_to_an_answer(user: User, hub: Hub, tmp_path: Path) -> None:
    """The id is all that the folder says of its base; the rest is downloaded, deployed and asked."""
    hub.models["tone-makers/tone-base"] = EXAMPLE / "base"
    root = tmp_path / "place" / "mine"
    shutil.copytree(EXAMPLE / "adapters" / "tone", root / "out" / "checkpoint-60")
    config = root / "out" / "checkpoint-60" / "adapter_config.json"
    config.write_text(config.read_text().replace('"tone-base"', '"tone-makers/tone-base"'))
    try:
        up = user.run("up", str(root), "--yes")
        assert up.code == 0, up
        assert "the newest, is taken" in up.stderr
        assert "Hugging Face cache, as tone-makers/tone-base" in up.stderr
        url = up.document["endpoint"]
        assert httpx.get(f"{url.removesuffix('/v1')}/readyz", timeout=300).status_code == 200
        assert not os.path.lexists(root / "base")
    finally:
        user.run("cloud", "stop")


def test_the_stand_in_has_the_commit_that_snapshots_are_called_by(user: User, project: Path) -> None:
    assert user.run("init", str(project), "--yes").code == 0
    assert (blobs(user).parent / "snapshots" / COMMIT / "model.safetensors").is_file()
