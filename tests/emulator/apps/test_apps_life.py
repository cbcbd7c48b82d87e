"""The diagrams of the page about the local cloud have the states and log lines of the code, and no others."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import containerapps_emulator

PAGE = (Path(__file__).parents[3] / "docs" / "explanation" / "local-cloud.md").read_text("utf-8")
APPS = Path(containerapps_emulator.__file__).parent / "apps"
ARROW = re.compile(r"^  (\S+) --> (\S+) : (.*)$", re.MULTILINE)
REASON = re.compile(r"\b[A-Z][a-z]+[A-Z]\w+")
APP, REVISION, REPLICA = re.findall(r"```mermaid\nstateDiagram-v2\n(.*?)```", PAGE, re.DOTALL)


def states(diagram: str) -> set[str]:
    return {state for source, target, _ in ARROW.findall(diagram) for state in (source, target)} - {"[*]"}


def texts(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def running_states() -> Iterator[object]:
    """The second argument of each status that a revision can have."""
    for node in ast.walk(ast.parse((APPS / "revision.py").read_text("utf-8"))):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "RevisionStatus"
        ):
            yield ast.literal_eval(node.args[1])


def test_a_revision_has_the_states_of_its_diagram() -> None:
    assert states(REVISION) == set(running_states())


def test_every_reason_in_a_diagram_is_one_that_is_logged() -> None:
    said = {text for path in APPS.rglob("*.py") for text in texts(path)}
    labels = " ".join(label for diagram in (REVISION, REPLICA) for _, _, label in ARROW.findall(diagram))
    named = set(REASON.findall(labels))
    assert len(named) > 6
    assert named <= said


def test_every_state_can_be_reached_and_left() -> None:
    for diagram in (APP, REVISION, REPLICA):
        arrows = [(source, target) for source, target, _ in ARROW.findall(diagram)]
        reached = {"[*]"}
        while more := {target for source, target in arrows if source in reached} - reached:
            reached |= more
        assert states(diagram) <= reached
        assert states(diagram) <= {source for source, _ in arrows}
