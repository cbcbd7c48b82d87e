"""The entry point: help, unknown commands, exit codes and errors as JSON."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys

import pytest
import typer

from remora.cli.main import COMMANDS, Command, help_text

HEAVY = ("torch", "gradio", "azure", "typer", "rich", "pydantic", "httpx")


def remora(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "remora", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )


@pytest.mark.parametrize("entry", [entry for group in COMMANDS.values() for entry in group])
def test_every_command_of_the_table_exists_and_has_an_example(entry: Command) -> None:
    name = entry.name
    app = importlib.import_module(entry.module).app
    assert isinstance(app, typer.Typer)
    several = len(app.registered_commands) > 1
    for command in app.registered_commands:
        words = [name, str(command.name or getattr(command.callback, "__name__", ""))] if several else [name]
        done = remora(*words, "--help", COLUMNS="200")
        assert done.returncode == 0, done.stderr
        assert f"remora {' '.join(words)}" in done.stdout.partition("Example")[2]


def test_help_is_the_default_and_imports_nothing_heavy() -> None:
    assert remora().stdout == remora("--help").stdout == help_text()
    script = f"""
import sys, contextlib
from remora.cli.main import main
with contextlib.suppress(SystemExit):
    main(["--help"])
print([name for name in {HEAVY} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_an_unknown_command_suggests_the_near_one() -> None:
    done = remora("depoly")
    assert done.returncode == 2
    assert "did you mean: remora deploy" in done.stderr
    assert done.stdout == ""


def test_an_unknown_flag_is_a_usage_error() -> None:
    done = remora("status", "--nope")
    assert done.returncode == 2
    assert "--nope" in done.stderr
    assert "Traceback" not in done.stderr


def test_errors_are_one_json_document_where_json_was_asked_for() -> None:
    done = remora("open", "/does/not/exist", "--output", "json")
    document = json.loads(done.stdout)
    assert document["schema"] == "remora.error/v1"
    assert document["error"]["code"] == "deployment_not_found"
    assert done.returncode == document["exit_code"] == 3


def test_debug_shows_the_traceback() -> None:
    assert "Traceback" not in remora("open", "/does/not/exist").stderr
    assert "Traceback" in remora("open", "/does/not/exist", REMORA_DEBUG="1").stderr
