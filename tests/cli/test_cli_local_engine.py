"""The engine on this machine: why it does not start, told by `golden record`, and what `--engine` decides."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.command import User
from tests.cli.trained_folder import make_adapter, make_base

from remora.cli.main import main


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    make_base(root)
    make_adapter(root, "tone")
    return root


def test_the_engines_own_reason_is_shown(project: Path, tmp_path: Path) -> None:
    (project / "base" / "chat_template.jinja").write_text("{% endfor %}")
    ran = User(tmp_path / "home").run("golden", "record", str(project), "--prompt", "hello")
    assert ran.code == 7
    assert "the engine on this machine did not start: the chat template of" in ran.message
    assert "line 1 is: {% endfor %}" in ran.message
    assert "→ correct its chat_template.jinja" in ran.message


def test_the_engine_that_is_asked_for_is_the_one_that_is_inspected_for(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REMORA_OUTPUT", "json")
    monkeypatch.setenv("REMORA_HOME", str(tmp_path / "home"))
    path = project / "adapters" / "tone" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rank_pattern": {"q_proj": 2}}))
    with pytest.raises(SystemExit) as ended:
        main(["serve", str(project), "--port", "0", "--no-auth", "--engine", "vllm"])
    assert ended.value.code == 5
    message = json.loads(capsys.readouterr().out)["error"]["message"]
    assert message.endswith("has a rank_pattern, which the engine vllm would ignore")
