"""`remora env`: the forms of its output, and what it refuses; that a client works with it is in `e2e`."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest
from tests.cli.command import User

from remora.cli.commands.env import _exported, _quoted, _table

VARIABLES = {"OPENAI_BASE_URL": "http://x/v1", "OPENAI_MODEL": "it's $tone", "REMORA_MODELS": "a,it's $tone"}


def test_a_shell_reads_back_what_is_exported() -> None:
    text = _exported({**VARIABLES, "OPENAI_API_KEY": "k'`ey"}, Path("my folder"))
    show = 'eval "$1"; printf "%s\\n" "$OPENAI_BASE_URL" "$OPENAI_MODEL" "$OPENAI_API_KEY"'
    read = subprocess.run(["sh", "-c", show, "sh", text], capture_output=True, text=True, check=True)
    assert read.stdout.splitlines() == ["http://x/v1", "it's $tone", "k'`ey"]


def test_without_the_key_the_shell_asks_for_it() -> None:
    (line,) = (line for line in _exported(VARIABLES, Path("my folder")).splitlines() if "API_KEY" in line)
    assert line == "export OPENAI_API_KEY=\"$(remora secrets 'my folder')\""


def test_a_dotenv_value_is_quoted() -> None:
    assert _quoted('a "b"\n') == '"a \\"b\\"\\n"'


def test_people_are_told_how_to_see_the_key() -> None:
    shown = _table(VARIABLES, Path("my folder"))
    assert "hidden; show it with: remora env 'my folder' --with-key" in shown
    assert "k'`ey" in _table({**VARIABLES, "OPENAI_API_KEY": "k'`ey"}, Path())


@pytest.mark.parametrize("flags", ["--export --dotenv", "--json --export"])
def test_two_forms_at_once_are_refused(tmp_path: Path, flags: str) -> None:
    ran = User(tmp_path).run("env", str(tmp_path), *shlex.split(flags))
    assert (ran.code, ran.document["error"]["code"]) == (2, "invalid_value")
    assert "exclude each other" in ran.message


def test_json_is_json_also_for_an_error(tmp_path: Path) -> None:
    user = User(tmp_path, {"REMORA_OUTPUT": "json"})
    process = user.start("env", str(tmp_path / "nowhere"), "--json")
    printed, _ = process.communicate(timeout=600)
    assert process.returncode == 3
    assert json.loads(printed)["error"]["code"] == "deployment_not_found"
