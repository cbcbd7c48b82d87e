"""Where a page's commands run: its folders, and what happened before. Runs nothing itself, but `lay_out`.

The pages of one scene share a HOME and a local cloud. A block of commands runs if its mark is empty, `run`
or `tutorial…`; every other mark says who runs it (`blocks.py`).
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.docs.blocks import ROOT

EXAMPLE = ROOT / "examples" / "tone"
TUTORIAL = "docs/tutorial.md"
PAIR = {"prompt": "I finally got the job I wanted", "answer": "joy"}
ADAPTERS = EXAMPLE / "adapters"
STAGE = f"PYTHONPATH={ROOT} {sys.executable} -m tests.docs.stage"
UP = "remora up my-folder --yes"
FOLLOWED = frozenset({"", "run", "tutorial", "tutorial: install", "tutorial: yours"})


def lay_out(place: Path) -> None:
    """What the pages name: a project, newer trainings, prompts with their answers."""
    shutil.copytree(EXAMPLE, place / "my-folder")
    shutil.copytree(ADAPTERS / "pirate", place / "runs" / "tone-2")
    pairs = json.dumps(PAIR) + "\n"
    for name in ("pairs.jsonl", "held-out.jsonl"):
        (place / name).write_text(pairs, encoding="utf-8")


def _for_operating(place: Path) -> None:
    shutil.copytree(EXAMPLE, place / "my-adapters")


def _with_many_adapters(place: Path) -> None:
    shutil.copytree(EXAMPLE / "base", place / "tone-base")
    for name, source in (("runs/tone", "tone"), ("runs/json", "pirate"), ("old/formal", "tone")):
        shutil.copytree(ADAPTERS / source, place / name)


def _the_example(place: Path) -> None:
    shutil.copytree(EXAMPLE, place / "examples" / "tone")


@dataclass(frozen=True, slots=True)
class Scene:
    """Pages in their order, the shell that runs first, and shell that runs before a block that starts so."""

    pages: tuple[str, ...]
    first: str = UP
    between: dict[str, str] = field(default_factory=dict)
    lay_out: Callable[[Path], None] = lay_out


SCENES = {
    "adapters": Scene(("docs/how-to/manage-adapters.md",)),
    "keys": Scene(("docs/how-to/keys-and-secrets.md",)),
    "quality": Scene(
        ("docs/how-to/evaluate.md", "docs/how-to/compare.md"),
        between={
            "remora eval my-folder --pairs pairs.jsonl --model": (
                "remora adapters push tone runs/tone-2 my-folder\n"
                "remora adapters push tone my-folder/adapters/tone my-folder"
            )
        },
    ),
    "endpoint": Scene(
        (
            "README.md",
            "docs/index.md",
            "docs/how-to/use-it-from.md",
            "docs/reference/commands.md",
            "docs/reference/endpoint.md",
            "docs/reference/environment.md",
            "docs/reference/exit-codes.md",
            "docs/reference/http-api.md",
            "docs/reference/metrics.md",
            "docs/how-to/ci-cd.md",
            "docs/how-to/troubleshoot.md",
            "docs/how-to/deploy-to-azure.md",
        ),
        between={
            "remora rollback": "printf '\\n[serve]\\nmax_running_requests = 8\\n' >> my-folder/remora.toml\n"
            + UP
        },
    ),
    "operating": Scene(
        ("docs/how-to/operate.md", "docs/explanation/local-cloud.md"),
        first="remora up my-adapters --yes",
        between={
            "remora why": (
                "remora cloud faults on image_pull_denied\n"
                "echo '\n[serve]\nmax_running_requests = 8' >> my-adapters/remora.toml\n"
                "if remora up my-adapters --yes; then exit 1; fi\nremora cloud faults off --all"
            ),
            "remora warm": "remora up my-adapters --yes\nremora cloud stop\nremora cloud start",
        },
        lay_out=_for_operating,
    ),
    "many": Scene(("docs/how-to/your-own-adapter.md",), first="", lay_out=_with_many_adapters),
    "toolkit": Scene(
        ("docs/how-to/from-ai-toolkit.md",), first=f"{STAGE} my-project", lay_out=lambda _: None
    ),
    "example": Scene(("examples/tone/README.md",), first="", lay_out=_the_example),
}
