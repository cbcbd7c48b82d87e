"""`remora init`, run as users run it, on folders as training leaves them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.cli.trained_folder import make_adapter, make_base

from remora.cli.commands.init import document_of, init_project
from remora.errors import ProjectIncomplete

RUN = "from remora.cli.main import main; main()"


def init(root: Path, *, force: bool = False) -> dict[str, Any]:
    """What the command answers with."""
    return document_of(init_project(root, force=force))


def run_init(root: Path) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON document of the command itself."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REMORA_")}
    done = subprocess.run(
        [sys.executable, "-c", RUN, "init", str(root), "--output", "json"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=400,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)


def test_a_trained_folder_becomes_a_project(tmp_path: Path) -> None:
    make_base(tmp_path)
    make_adapter(tmp_path, "tone")
    make_adapter(tmp_path, "wide", width=64)
    make_adapter(tmp_path, "other", base="microsoft/phi-2")
    make_adapter(tmp_path, "joke")
    code, document = run_init(tmp_path)
    assert code == 0
    assert document["schema"] == "remora.init/v1"
    assert (document["base"]["name"], document["base"]["path"]) == ("tone-base", "base")
    assert [adapter["name"] for adapter in document["adapters"]] == ["joke", "other", "tone"]
    (warning,) = [line for line in document["warnings"] if line.startswith("other: ")]
    assert "'microsoft/phi-2'" in warning
    rejected = {item["path"]: item["reason"] for item in document["rejected"]}
    assert set(rejected) == {"adapters/wide"}
    assert "8 x 8 in the base, 64 x 64 in the adapter" in rejected["adapters/wide"]
    assert len(document["written"]) == 5
    assert all((tmp_path / path).is_file() for path in document["written"])


def test_a_base_that_adapters_name_in_nf4_is_served_in_nf4(tmp_path: Path) -> None:
    make_base(tmp_path)
    make_adapter(tmp_path, "tone", base="somebody/tone-base-bnb-4bit")
    _, document = run_init(tmp_path)
    assert 'quantize = "nf4"' in (tmp_path / "remora.toml").read_text()
    said = [line for line in document["warnings"] if "nf4" in line]
    assert len(said) == 1
    assert "an adapter names somebody/tone-base-bnb-4bit" in said[0]


def test_a_second_time_keeps_everything(tmp_path: Path) -> None:
    make_base(tmp_path)
    make_adapter(tmp_path, "tone")
    first = init(tmp_path)
    make_adapter(tmp_path, "joke")
    document = init(tmp_path)
    assert (document["written"], document["kept"]) == ([], first["written"])
    assert [adapter["name"] for adapter in document["adapters"]] == ["tone"]
    assert 'joke = "adapters/joke"' in document["warnings"][0]
    assert [adapter["name"] for adapter in init(tmp_path, force=True)["adapters"]] == ["joke", "tone"]


def test_a_users_template_is_kept_compiled_and_judged(tmp_path: Path) -> None:
    make_base(tmp_path)
    make_adapter(tmp_path, "tone")
    bicep = tmp_path / "infra/provision/inference.bicep"
    bicep.parent.mkdir(parents=True)
    bicep.write_text("param location string = resourceGroup().location\n")
    document = init(tmp_path)
    assert any("apiKey" in warning for warning in document["warnings"])
    assert bicep.read_text().startswith("param location")
    compiled = json.loads(bicep.with_suffix(".json").read_text())
    assert list(compiled["parameters"]) == ["location"]


def test_a_template_that_answers_nobody_is_found_before_anything_is_written(tmp_path: Path) -> None:
    base = make_base(tmp_path)
    tone, broken = make_adapter(tmp_path, "tone"), make_adapter(tmp_path, "broken")
    (broken / "chat_template.jinja").write_text("a\n{% for %}")
    (tone / "chat_template.jinja").write_text("{{ messages[0].content }}")
    rejected = {item["path"]: item["reason"] for item in init(tmp_path)["rejected"]}
    assert "line 2 is: {% for %}" in rejected["adapters/broken"]
    (base / "chat_template.jinja").write_text("{{ raise_exception('begin with a system message') }}")
    code, document = run_init(tmp_path)
    assert code == 5
    assert "begin with a system message; the template's line 1 is: {{ raise" in document["error"]["message"]


@pytest.mark.parametrize(
    ("has_base", "adapter_base", "named"),
    [(False, "tone-base", "no base model"), (True, None, "no usable adapter")],
)
def test_an_incomplete_folder_is_refused_and_stays_as_it_was(
    tmp_path: Path, has_base: bool, adapter_base: str | None, named: str
) -> None:
    if has_base:
        make_base(tmp_path)
    if adapter_base:
        make_adapter(tmp_path, "tone", base=adapter_base)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ProjectIncomplete, match=named):
        init(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_reason_for_having_no_adapter_is_given(tmp_path: Path) -> None:
    make_base(tmp_path)
    make_adapter(tmp_path, "tone")
    weights = tmp_path / "adapters/tone/adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    code, document = run_init(tmp_path)
    assert (code, document["error"]["code"]) == (3, "project_incomplete")
    assert "adapters/tone" in document["error"]["message"]
    assert "truncated" in document["error"]["message"]


def test_adapters_that_are_passed_by_are_told(tmp_path: Path) -> None:
    make_base(tmp_path)
    make_adapter(tmp_path, "tone")
    (tmp_path / "adapters").rename(tmp_path / "checkpoints")
    code, document = run_init(tmp_path)
    assert (code, document["error"]["code"]) == (3, "project_incomplete")
    assert "checkpoints/tone: a folder of a training's checkpoints" in document["error"]["message"]
    assert 'name = "checkpoints/tone"' in document["error"]["hint"]
    make_adapter(tmp_path, "joke")
    code, document = run_init(tmp_path)
    assert code == 0
    assert [item["path"] for item in document["skipped"]] == ["checkpoints/tone"]


def test_sampling_that_a_generation_config_asks_for_is_told(tmp_path: Path) -> None:
    make_base(tmp_path)
    make_adapter(tmp_path, "tone")
    (tmp_path / "base" / "generation_config.json").write_text(
        '{"repetition_penalty": 1.2, "temperature": 1.0}'
    )
    warnings = init_project(tmp_path, force=False).warnings
    asked = "the generation config of tone-base asks for repetition_penalty 1.2"
    assert [warning for warning in warnings if warning.startswith(asked)]


def test_odd_entries_are_told_and_cost_themselves_alone(tmp_path: Path) -> None:
    make_base(tmp_path)
    make_adapter(tmp_path, "tone")
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / "config.json")
    make_adapter(tmp_path, os.fsdecode(b"b\xff"))
    code, document = run_init(tmp_path)
    assert code == 0
    assert [adapter["name"] for adapter in document["adapters"]] == ["tone"]
    assert document["rejected"] == [{"path": "pipe/config.json", "reason": "a named pipe, not a file"}]
    assert document["skipped"] == [
        {"path": r"adapters/b\xff", "reason": "its name is not UTF-8; give it another"}
    ]


def test_a_base_that_only_adapters_name_is_told(tmp_path: Path) -> None:
    make_base(tmp_path)
    make_adapter(tmp_path, "tone", base="microsoft/phi-2")
    document = init(tmp_path)
    assert document["base"]["name"] == "phi-2"
    (warning,) = document["warnings"]
    assert "tone: nothing in" in warning
    assert (
        "the adapter claims 'microsoft/phi-2': only the names and sizes of modules were compared" in warning
    )


def test_several_bases_are_told_apart_by_what_the_adapters_name(tmp_path: Path) -> None:
    make_base(tmp_path, "model-cache/ours/tone-base")
    make_base(tmp_path, "model-cache/theirs/phi-2")
    make_adapter(tmp_path, "tone")
    assert init(tmp_path)["base"]["path"] == "model-cache/ours/tone-base"


def test_several_bases_that_nothing_tells_apart_are_listed(tmp_path: Path) -> None:
    make_base(tmp_path, "a")
    make_base(tmp_path, "b")
    make_adapter(tmp_path, "tone", base="")
    with pytest.raises(ProjectIncomplete, match=r"2 base models below .*: a, b"):
        init(tmp_path)
