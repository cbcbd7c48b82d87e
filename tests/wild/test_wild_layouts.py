"""The first minute with a folder as a trainer left it: `remora init` takes it, or names what makes it so."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.cli.trained_folder import make_base
from tests.wild.layouts import (
    ACCEPTED,
    LLAMA,
    OTHER_TOOLS,
    REFUSED,
    adapter_at,
    cached,
    pickled,
    tokenizer_with_the_adapter_only,
    torchtune,
    trl,
    trl_without_a_final_adapter,
)

from remora.adapters.model_set import models_of_project
from remora.cli.main import main
from remora.cli.models.base_option import read_settings
from remora.project.hub_cache import cached_models, hub_cache
from remora.project.settings import load_settings

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "your-own-adapter.md"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user with an empty cache and no network."""
    for name in [name for name in os.environ if name.startswith(("HF_", "HUGGINGFACE_", "REMORA_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    monkeypatch.setenv("REMORA_HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


def remora(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--output", "json"])
    shown = capsys.readouterr().out.strip()
    assert isinstance(ended.value.code, int)
    return ended.value.code, json.loads(shown)


@pytest.mark.parametrize("layout", ACCEPTED)
def test_init_takes_the_folder_as_it_is(place: Path, capsys: pytest.CaptureFixture[str], layout: str) -> None:
    build, found = ACCEPTED[layout]
    project = build(place)
    code, document = remora(capsys, "init", str(project))
    assert code == 0, document
    assert found in document["base"]["found"]
    assert len(document["adapters"]) == 1
    models = models_of_project(read_settings(project))  # what every later command does
    assert len(models.adapters) == 1
    assert models.base_name == document["base"]["name"].lower()


@pytest.mark.parametrize("layout", REFUSED)
def test_init_names_the_one_command_that_makes_it_accept_the_folder(
    place: Path, capsys: pytest.CaptureFixture[str], layout: str
) -> None:
    project = REFUSED[layout](place)
    code, refused = remora(capsys, "init", str(project))
    assert code == 3
    assert refused["next"][0] == "remora", refused
    code, document = remora(capsys, *refused["next"][1:])
    assert code == 0, document
    code, document = remora(capsys, "init", str(project))
    assert (code, len(document["adapters"])) == (0, 1), document
    assert models_of_project(read_settings(project)).adapters


@pytest.mark.parametrize("layout", OTHER_TOOLS)
def test_init_names_the_command_of_another_tool(
    place: Path, capsys: pytest.CaptureFixture[str], layout: str
) -> None:
    build, words = OTHER_TOOLS[layout]
    code, refused = remora(capsys, "init", str(build(place)))
    assert code == 3
    assert words in f"{refused['error']['message']} {refused['error']['hint']}"


def test_a_base_without_tokenizer_works_after_the_command_that_is_named(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, refused = remora(capsys, "init", str(tokenizer_with_the_adapter_only(place)))
    command = refused["error"]["hint"].partition(": ")[2]
    subprocess.run(shlex.split(command), check=True)
    code, document = remora(capsys, "init", str(place))
    assert (code, len(document["adapters"])) == (0, 1), document


def test_merged_weights_beside_an_adapter_are_not_its_base(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(torchtune(place) / "Llama-3.2-1B-Instruct")
    adapter_at(place / "out" / "epoch_0", "")  # nothing says which base to look for elsewhere
    code, refused = remora(capsys, "init", str(place))
    assert code == 3
    assert "to them twice" in refused["error"]["message"]


@pytest.mark.parametrize(("method", "words"), [("ADALORA", "init_r"), ("IA3", "IA³"), ("VERA", "VeRA")])
def test_the_inspection_says_what_another_method_of_peft_is(
    place: Path, capsys: pytest.CaptureFixture[str], method: str, words: str
) -> None:
    config = trl(place) / "out" / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "peft_type": method}))
    code, refused = remora(capsys, "init", str(place))
    assert code == 3
    assert words in refused["error"]["message"]


def test_the_newest_checkpoint_is_taken_and_said_and_all_are_listed(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trl_without_a_final_adapter(place)
    code, document = remora(capsys, "init", str(place))
    assert [item["path"] for item in document["adapters"]] == ["out/checkpoint-200"]
    assert any("checkpoint-200, the newest, is taken, not checkpoint-100" in w for w in document["warnings"])
    toml = place / "remora.toml"
    toml.write_text(toml.read_text().replace("out/checkpoint-200", "out/checkpoint-100"))
    code, document = remora(capsys, "adapters", "list", str(place), "--checkpoints")
    assert code == 0
    alias = models_of_project(read_settings(place)).adapters[0].name
    assert document["checkpoints"] == [
        {"folder": "out/checkpoint-100", "name": alias, "steps": "100", "loss": "0.25"},
        {"folder": "out/checkpoint-200", "name": "", "steps": "200", "loss": "0.25"},
    ]


def test_show_tells_the_training(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trl(place)
    code, document = remora(capsys, "adapters", "show", str(place / "out"), str(place))
    assert (code, document["rank"], document["alpha"], document["target_modules"]) == (0, 2, 4.0, ["q_proj"])
    facts = document["provenance"]
    assert (facts["trainer"], facts["training steps"], facts["loss"]) == ("TRL", "200", "0.25")
    assert facts["training told by"] == "checkpoint-200"


def test_a_base_that_the_flag_names_stays_the_projects(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter_at(place / "project" / "lora", "")
    outside = make_base(place, "far/away/llama")
    code, document = remora(capsys, "init", str(place / "project"), "--base", str(outside))
    assert (code, document["base"]["found"]) == (0, "--base names it")
    assert "far/away" not in (place / "project" / "remora.toml").read_text()  # shared by all who work on it
    assert read_settings(place / "project").model.base == outside
    inside = make_base(place / "project", "base")
    assert remora(capsys, "init", str(place / "project"), "--base", str(inside))[0] == 0
    assert 'base = "base"' in (place / "project" / "remora.toml").read_text()
    assert read_settings(place / "project").model.base == inside
    code, document = remora(capsys, "init", str(place / "project"), "--base", "no/such/thing")
    assert (code, document["error"]["param"]) == (2, "--base")


def test_verify_takes_the_flag_and_else_the_adapters_own_words(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = make_base(place, "far/away/llama")
    (place / "empty").mkdir()
    adapter = str(adapter_at(place / "lora", ""))
    arguments = ("adapters", "verify", adapter, "--no-proof", "-C", str(place / "empty"))
    assert remora(capsys, *arguments)[0] == 3
    code, document = remora(capsys, *arguments, "--base", str(outside))
    assert (code, document["base"]["path"]) == (0, str(outside))
    adapter_at(place / "lora", str(outside))
    assert remora(capsys, *arguments)[0] == 0


def test_the_settings_may_name_an_id_of_the_hub(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    snapshot = cached(Path(os.environ["HF_HOME"]), LLAMA)
    adapter_at(place / "lora", "")
    code, document = remora(capsys, "init", str(place), "--base", f"hub:{LLAMA}")
    assert (code, document["base"]["path"]) == (0, str(snapshot))
    assert f'base = "hub:{LLAMA}"' in (place / "remora.toml").read_text()
    assert load_settings(place, {}).model.hub_id == LLAMA
    assert models_of_project(read_settings(place)).base_path == snapshot


def test_a_download_that_was_interrupted_is_no_base(tmp_path: Path) -> None:
    environment = {"HF_HUB_CACHE": str(tmp_path / "hub")}
    snapshot = cached(tmp_path, LLAMA)
    assert hub_cache(environment) == tmp_path / "hub"
    assert list(cached_models(LLAMA, "", environment)) == [(LLAMA, snapshot)]
    assert list(cached_models(LLAMA, "other-revision", environment)) == []
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (snapshot / "model.safetensors.index.json").write_text(json.dumps(index))
    assert list(cached_models(LLAMA, "", environment)) == []


def test_a_pickle_with_code_runs_none_of_it(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import pickle

    project = pickled(place)
    marker = place / "ran"

    class Hostile:
        def __reduce__(self) -> tuple[Any, tuple[str, ...]]:
            return os.system, (f"touch {shlex.quote(str(marker))}",)

    (project / "lora" / "adapter_model.bin").write_bytes(pickle.dumps(Hostile()))
    code, document = remora(capsys, "adapters", "convert", str(project / "lora"))
    assert (code, document["error"]["code"]) == (5, "adapter_rejected")
    assert not marker.exists()
    assert sorted(path.name for path in (project / "lora").iterdir()) == [
        "adapter_config.json",
        "adapter_model.bin",
    ]


def test_the_page_has_the_layouts_that_are_tested() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [layout for layout in (*ACCEPTED, *REFUSED, *OTHER_TOOLS) if f"| {layout} |" not in text] == []
