"""`remora adapters show` and `verify`: what a folder holds, and whether it changes anything."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from remora.adapters.model_set import models_of_project
from remora.cli.main import main
from remora.errors import AdapterRejected
from remora.project.settings import load_settings

EXAMPLE = Path(__file__).parents[2] / "examples" / "tone"
WEIGHTS = "adapter_model.safetensors"


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE / "adapters" / "tone", tmp_path / "tone"))


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    with pytest.raises(SystemExit) as ended:
        main(["adapters", *arguments, "--project", str(EXAMPLE), "--output", "json"])
    shown = capsys.readouterr().out.strip()
    assert isinstance(ended.value.code, int)
    return ended.value.code, json.loads(shown) if shown else {}


def test_show_tells_everything_about_a_folder(tone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tone / "README.md").write_text("---\nlibrary_name: peft\nlicense: mit\n---\n- TRL: 0.21.0\n")
    (tone / "trainer_state.json").write_text(json.dumps({"global_step": 400, "epoch": 2.5}))
    (tone / "training_args.bin").write_bytes(b"\x80\x04never opened")
    (tone / "olive-config.json").write_text("{}")
    (tone / "chat_template.jinja").write_text("{{ messages[0].content }}")
    code, shown = run(capsys, "show", str(tone))
    assert code == 0
    assert (shown["rank"], shown["alpha"], shown["scalings"]) == (8, 16.0, [2.0])
    assert len(shown["modules"]) == 12
    assert shown["dtypes"] == ["F32"]
    assert len(shown["digest"]) == 64
    assert shown["base"]["fingerprint"]
    assert shown["chat_template"] not in (None, shown["base"]["chat_template"])
    assert shown["text_files"] == ["chat_template.jinja"]
    assert (shown["token_rows"], shown["generation_defaults"]) == (None, {})
    facts = shown["provenance"]
    assert facts["TRL"] == "0.21.0"
    assert facts["library_name"] == "peft"
    assert (facts["training steps"], facts["epochs"]) == ("400", "2.5")
    assert facts["training_args.bin"] == "a pickle, not opened"
    assert facts["Olive"] == "olive-config.json"
    assert facts["PEFT"]
    assert shown["effect"] is None


@pytest.mark.parametrize("command", ["show", "verify"])
def test_what_a_folder_says_is_shown_as_text_and_commands_no_terminal(
    tone: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    hostile = "[/nothing] [red]tone-base :warning: \x1b]0;owned\x07\x9b2J\rover"
    (tone / "README.md").write_text(f"---\nlicense: {hostile}\n---\n", newline="")
    config = tone / "adapter_config.json"
    document = json.loads(config.read_text())
    for field in ("base_model_name_or_path", "r"):  # told in a table, and in a refusal
        config.write_text(json.dumps({**document, field: hostile}))
        with pytest.raises(SystemExit) as ended:
            main(["adapters", command, str(tone), "--project", str(EXAMPLE)])
        said = capsys.readouterr()
        shown = said.out + said.err
        assert ended.value.code == (0 if field != "r" else 5), shown
        assert "[/nothing] [red]tone-base :warning: \\x1b]0;owned\\x07\\x9b2J" in shown
        assert not {"\x1b", "\x07", "\x9b", "\r"} & set(shown)


def test_verify_proves_an_effect(tone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, shown = run(capsys, "verify", str(tone))
    assert code == 0
    assert shown["effect"]["proven"] is True
    assert shown["effect"]["kl_nats_at_least"] > 1
    assert shown["effect"]["changed_tokens"] > 0


def test_verify_refuses_what_changes_nothing(tone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tensors = load_file(tone / WEIGHTS)
    faint = {name: t * np.float32(1e-7) if "lora_B" in name else t for name, t in tensors.items()}
    save_file(faint, tone / WEIGHTS)
    code, _ = run(capsys, "verify", str(tone), "--no-proof")
    assert code == 0
    with pytest.raises(SystemExit) as ended:
        main(["adapters", "verify", str(tone), "--project", str(EXAMPLE)])
    assert ended.value.code == 5
    said = capsys.readouterr()
    assert "does not change the tested answers" in said.err
    assert "KL ≥" in said.out


def test_a_broken_folder_is_refused(tone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tone / WEIGHTS).write_bytes((tone / WEIGHTS).read_bytes()[:100])
    for command in ("show", "verify"):
        code, shown = run(capsys, command, str(tone))
        assert code == 5
        assert shown["error"]["code"] == "adapter_rejected"


@pytest.mark.parametrize("options", [(), ("--no-proof",)])
def test_verify_without_a_base_model_does_not_pass(
    tone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...]
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit) as ended:
        main(["adapters", "verify", str(tone), "--project", str(tmp_path / "empty"), *options])
    assert ended.value.code == 3
    assert "no base model was found" in capsys.readouterr().err


def test_what_is_ignored_in_a_folder_is_told(tone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tone / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"use_future": True}))
    for command in (["show"], ["verify", "--no-proof"]):
        code, shown = run(capsys, *command, str(tone))
        assert code == 0
        assert "use_future = True" in shown["remarks"][0]


def test_one_folder_has_one_verdict(tone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `serve`, `plan` and `deploy` would refuse is refused by everything before, with the same words."""
    tensors = load_file(tone / WEIGHTS)
    name = next(iter(tensors))
    tensors[name][0, 0] = np.nan
    save_file(tensors, tone / WEIGHTS)
    project = tmp_path / "project"
    shutil.copytree(EXAMPLE / "base", project / "base")
    shutil.copytree(tone, project / "adapters" / "tone")
    with pytest.raises(AdapterRejected) as at_serve:
        models_of_project(load_settings(project, {}))
    reason = f"cannot be computed with: {name} holds NaN"
    assert reason in at_serve.value.message
    for arguments in (
        ["adapters", "show", str(tone), "--project", str(EXAMPLE)],
        ["adapters", "verify", str(tone), "--project", str(EXAMPLE), "--no-proof"],
        ["adapters", "verify", str(tone), "--project", str(EXAMPLE)],
        ["init", str(project)],
    ):
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--output", "json"])
        said = capsys.readouterr()
        assert ended.value.code in (3, 5), arguments
        assert reason in said.out + said.err, arguments


def test_without_a_base_model_the_folder_is_judged_alone(
    tone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(SystemExit) as ended:
        main(["adapters", "show", str(tone), "--project", str(empty)])
    assert ended.value.code == 0
    said = capsys.readouterr()
    assert "no base model to compare with" in said.err
    assert "not compared with a base model" in said.out
