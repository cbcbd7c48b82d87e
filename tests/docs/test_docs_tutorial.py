"""The tutorial, cheaply: its steps are there in their order, and one shell can read them as a script."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.docs.blocks import ROOT, blocks_of, commands_in, pages
from tests.docs.tutorial import HOW_TO, TUTORIAL, environment_of, how_to_of, lay_out, script_of, steps_of

SECONDS = 500.0  # a bound for what hangs
COMMANDS = ("--version", "init", "up", "status", "chat", "env", "keys", "deploy", "golden", "golden", "down")


def test_the_tutorial_goes_from_nothing_to_a_clean_machine() -> None:
    steps = steps_of(TUTORIAL, install=False)
    done = [words[1] for step in steps for words in commands_in(step.text) if words[0] == "remora"]
    assert tuple(done) == (*COMMANDS, "cloud")
    assert [step.mark for step in steps].count("tutorial: yours") == 1


def test_with_the_install_the_steps_are_all_that_a_machine_can_do() -> None:
    left_out = {block.mark for block in blocks_of(ROOT / TUTORIAL) if block.language == "sh"} - {
        step.mark for step in steps_of(TUTORIAL, install=True)
    }
    assert left_out == {"azure", "browser", "long"}


def test_a_shell_reads_it_and_the_readers_folder_is_replaced(tmp_path: Path) -> None:
    script = script_of(steps_of(TUTORIAL, install=True), tmp_path)
    assert f"MODELS={tmp_path}" in script
    assert "~/my-adapter" not in script
    read = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert read.stderr == ""


def test_blocks_that_are_marked_run_do_what_they_show(tmp_path: Path) -> None:
    """One project and one local cloud for all of them; nothing is deployed."""
    lay_out(tmp_path)
    marked = [block for path in pages() for block in blocks_of(path) if block.mark == "run"]
    assert len(marked) >= 3
    environment = environment_of(tmp_path)
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    try:
        done = subprocess.run(
            ["bash", "-c", script_of(marked, tmp_path)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
    finally:
        subprocess.run([sys.executable, "-m", "remora", "cloud", "stop"], env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_how_to_pages_have_something_to_run() -> None:
    for page in HOW_TO:
        assert how_to_of(page).count("remora ") > 3
        assert "--host 0.0.0.0" not in how_to_of(page)
