"""Following the pages, cheaply: every command has somebody who runs it, and a shell can read the scripts."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from scripts.reference.pages import PAGES as MADE
from tests.docs.blocks import ROOT, blocks_of, commands_in, pages
from tests.docs.follow import environment_of, run, scene_script, script_of, steps_of
from tests.docs.scenes import FOLLOWED, SCENES, TUTORIAL, lay_out
from tests.docs.shown import missing_lines, not_printed

COMMANDS = ("--version", "init", "up", "status", "chat", "env", "keys", "deploy", "golden", "golden", "down")
WORKFLOWS = ROOT / ".github" / "workflows"
SHELL = ("sh", "bash")


def test_the_tutorial_goes_from_nothing_to_a_clean_machine() -> None:
    steps = steps_of(TUTORIAL)
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
    assert _complaints(script) == ""


@pytest.mark.parametrize("name", SCENES)
def test_a_shell_reads_each_scene(name: str) -> None:
    script = scene_script(SCENES[name])
    assert _complaints(script) == ""
    assert not re.search(r"^pip install|# fails", script, re.MULTILINE)
    assert "--host 0.0.0.0" not in script
    assert all(text in script for text in SCENES[name].between.values())


def test_the_how_to_pages_have_something_to_run() -> None:
    for name in ("adapters", "keys", "quality"):
        assert scene_script(SCENES[name]).count("remora ") > 3


def test_every_page_with_commands_is_in_one_scene() -> None:
    """The Hindi pages have the same commands as the English ones (`test_docs_links.py`)."""
    with_commands = {
        block.page
        for path in pages()
        for block in blocks_of(path)
        if block.language in SHELL and block.mark in FOLLOWED and not block.page.startswith("docs/hi/")
    }
    listed = Counter([TUTORIAL, *(page for scene in SCENES.values() for page in scene.pages)])
    assert listed == Counter(dict.fromkeys(with_commands, 1))


def test_a_workflow_runs_each_target_that_a_page_names() -> None:
    """`make test-fast`, `format` and the benchmarks are for a machine of one's own."""
    named = {
        words[1]
        for path in pages()
        for block in blocks_of(path)
        if block.mark == "checkout"
        for words in commands_in(block.text)
        if words[0] == "make"
    }
    run_by_them = " ".join(path.read_text("utf-8") for path in WORKFLOWS.glob("*.yml"))
    missing = {name for name in named if not re.search(rf"make [\w -]*\b{name}\b(?!-)", run_by_them)}
    assert missing <= {"test-fast", "format", "bench", "demo-real"}


def test_every_block_of_text_is_an_output_or_a_figure() -> None:
    made = {f"docs/{name}" for name in MADE}
    unmarked = [
        block.where
        for path in pages()
        for block in blocks_of(path)
        if block.language == "text" and block.mark not in ("output", "figure") and block.page not in made
    ]
    assert unmarked == []


def test_what_is_shown_is_compared_but_for_what_varies() -> None:
    printed = "... working\nready in 3.1s\nadapter  tone  rank 8, 0123456789ab\nDone: all of it\n"
    assert missing_lines("ready in 10.7s\nadapter tone   rank 8, ba9876543210\n", printed) == []
    assert missing_lines("Done: … it\n", printed) == []
    assert missing_lines("adapter  order  rank 8, 0123456789ab\n", printed) == ["adapter order rank #, #"]
    assert missing_lines("Done: all of it\nready in 3.1s\n", printed) == ["ready in #s"]
    assert len(not_printed(TUTORIAL, "")) > 5


def test_blocks_that_are_marked_run_do_what_they_show(tmp_path: Path) -> None:
    """One project and one local cloud for all of them; nothing is deployed."""
    lay_out(tmp_path)
    marked = [block for path in pages() for block in blocks_of(path) if block.mark == "run"]
    assert len(marked) >= 3
    assert run(script_of(marked, tmp_path), tmp_path, environment_of(tmp_path), sys.stdout.write)


def _complaints(script: str) -> str:
    read = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    return read.stderr
