"""The tone example: its training runs from nothing, and the weights in the repository do what they claim.

Both run as a newcomer runs them, as processes of their own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from safetensors import safe_open

EXAMPLE = Path(__file__).parents[2] / "examples" / "tone"
ADAPTERS = ("tone", "pirate")
MAX_WEIGHT_BYTES = 12 * 1000 * 1000
MAX_SECONDS = 500


def run(script: str, *arguments: str) -> str:
    """Run a script of the example, offline, on one thread; what it printed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, str(EXAMPLE / script), *arguments],
        env=environment, capture_output=True, text=True, timeout=MAX_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def json_files(project: Path) -> list[Path]:
    return [path for folder in ("base", "adapters") for path in (project / folder).rglob("*.json")]


@pytest.fixture(scope="module")
def quick_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that was made in a few steps: it knows nothing, but every file is there."""
    folder = tmp_path_factory.mktemp("quick")
    run("train.py", "--quick", "--out", str(folder))
    return folder


def test_training_from_nothing_writes_a_whole_project(quick_project: Path) -> None:
    written = {str(path.relative_to(quick_project)) for path in quick_project.rglob("*") if path.is_file()}
    assert written == {
        "base/chat_template.jinja",
        "base/config.json",
        "base/generation_config.json",
        "base/model.safetensors",
        "base/tokenizer.json",
        "base/tokenizer_config.json",
        *(f"adapters/{name}/adapter_config.json" for name in ADAPTERS),
        *(f"adapters/{name}/adapter_model.safetensors" for name in ADAPTERS),
        "golden.toml",
    }


def test_training_changes_every_adapter(quick_project: Path) -> None:
    for name in ADAPTERS:
        with safe_open(
            quick_project / "adapters" / name / "adapter_model.safetensors", framework="np"
        ) as weights:
            changed = [key for key in weights.keys() if "lora_B" in key and weights.get_tensor(key).any()]  # noqa: SIM118
            assert changed, f"every lora_B of {name} is still zero: the adapter would change nothing"


def test_no_file_names_the_machine_that_wrote_it(quick_project: Path) -> None:
    for path in (*json_files(quick_project), *json_files(EXAMPLE)):
        text = path.read_text(encoding="utf-8")
        for place in (str(quick_project), str(Path.home()), str(EXAMPLE.parents[1])):
            assert f'"{place}' not in text, path


def test_committed_adapters_do_their_job_on_held_out_phrases_where_the_base_does_not() -> None:
    scores = {
        score["job"]: score for score in json.loads(run("evaluate.py", "--phrases-per-tone", "8", "--json"))
    }
    assert scores["tone"]["phrases"] == 40
    assert scores["tone"]["adapter"] >= 0.85
    assert scores["tone"]["base"] < 0.45
    assert scores["pirate"]["adapter"] >= 0.5
    assert scores["pirate"]["base"] < 0.1


def test_committed_weights_are_small_and_safe() -> None:
    weights = list(EXAMPLE.rglob("*.safetensors"))
    assert len(weights) == 1 + len(ADAPTERS)
    assert sum(path.stat().st_size for path in weights) <= MAX_WEIGHT_BYTES
    pickles = [path for pattern in ("*.bin", "*.pt", "*.pth", "*.pkl") for path in EXAMPLE.rglob(pattern)]
    assert pickles == []


def test_committed_adapters_differ_in_shape_and_name_their_base() -> None:
    base_name = tomllib.loads((EXAMPLE / "remora.toml").read_text(encoding="utf-8"))["model"]["name"]
    configs = [
        json.loads((EXAMPLE / "adapters" / name / "adapter_config.json").read_text(encoding="utf-8"))
        for name in ADAPTERS
    ]
    assert {config["base_model_name_or_path"] for config in configs} == {base_name}
    assert len({config["r"] for config in configs}) == len(ADAPTERS)
    assert len({tuple(config["target_modules"]) for config in configs}) == len(ADAPTERS)


def test_golden_prompts_ask_every_model() -> None:
    prompts = tomllib.loads((EXAMPLE / "golden.toml").read_text(encoding="utf-8"))["prompt"]
    assert {prompt["model"] for prompt in prompts} == {"tone-base", *ADAPTERS}
    assert all(prompt["answer"] and prompt["max_tokens"] > 0 for prompt in prompts)
