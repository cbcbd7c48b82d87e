"""`python -m tests.docs.tutorial [--install]`: does what the pages say, in a fresh HOME for each page.

Of the tutorial it runs the blocks that are marked `tutorial`, in one shell, in their order: the reader's
folder is a copy of `examples/tone`, given by the variable that the block `tutorial: yours` sets. With
`--install` its first step is done too, else the environment that is there is used. Of the pages of
HOW_TO it runs each block that a machine can do alone, with a copy of the example as `my-folder`. Ends at
the first command that fails.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.docs.blocks import ROOT, Block, blocks_of

EXAMPLE = ROOT / "examples" / "tone"
TUTORIAL = "docs/tutorial.md"
HOW_TO = ("docs/how-to/manage-adapters.md", "docs/how-to/keys-and-secrets.md", "docs/how-to/evaluate.md")
SECONDS = 3600.0  # a bound for what hangs
PAIR = {"prompt": "I finally got the job I wanted", "answer": "joy"}


def main() -> int:
    install = "--install" in sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="remora-tutorial-") as folder:
        place = Path(folder)
        models = place / "my-adapter"
        shutil.copytree(EXAMPLE, models)
        (models / "remora.toml").unlink()
        script = script_of(steps_of(TUTORIAL, install=install), models)
        _follow(TUTORIAL, script, place, _checkout(place) if install else ROOT)
    for page in HOW_TO:
        with tempfile.TemporaryDirectory(prefix="remora-how-to-") as folder:
            lay_out(Path(folder))
            _follow(page, how_to_of(page), Path(folder), Path(folder))
    return 0


def steps_of(page: str, *, install: bool) -> list[Block]:
    """The blocks of the tutorial to run."""
    wanted = {"tutorial", "tutorial: yours"} | ({"tutorial: install"} if install else set())
    return [block for block in blocks_of(ROOT / page) if block.mark in wanted]


def script_of(steps: Sequence[Block], models: Path) -> str:
    """One shell script, which names each block before it runs."""
    parts = ["set -eu"]
    for block in steps:
        text = f"MODELS={models}\n" if block.mark == "tutorial: yours" else block.text
        parts.append(f"echo '— {block.where}'\n{text}")
    return "\n".join(parts)


def how_to_of(page: str) -> str:
    """The blocks of a page that need nothing else, on an endpoint that runs."""
    steps = [
        block for block in blocks_of(ROOT / page) if block.language == "sh" and block.mark in ("", "run")
    ]
    up = Block(page, 0, "sh", "", "remora up my-folder --yes\n")
    return script_of([up, *steps], Path())


def lay_out(place: Path) -> None:
    """What the how-to pages name: a project, a newer training, pairs."""
    shutil.copytree(EXAMPLE, place / "my-folder")
    shutil.copytree(EXAMPLE / "adapters" / "pirate", place / "runs" / "tone-2")
    (place / "pairs.jsonl").write_text(json.dumps(PAIR) + "\n", encoding="utf-8")


def environment_of(place: Path) -> dict[str, str]:
    """Nothing of ours but the programs, and what pip needs."""
    kept = ("PATH", "LANG", "OMP_WAIT_POLICY", "SSL_CERT_FILE")
    clean = {name: value for name, value in os.environ.items() if name in kept or name.startswith("PIP_")}
    home = place / "home"
    home.mkdir(exist_ok=True)
    return {**clean, "HOME": str(home), "COLUMNS": "100"}


def _follow(page: str, script: str, place: Path, working: Path) -> None:
    """Raises CalledProcessError at the first command that fails."""
    environment, began = environment_of(place), time.monotonic()
    try:
        subprocess.run(["bash", "-c", script], cwd=working, env=environment, timeout=SECONDS, check=True)
    finally:
        subprocess.run(["remora", "cloud", "stop"], env=environment, check=False)
    sys.stdout.write(f"{page}: done in {time.monotonic() - began:.0f} s\n")
    sys.stdout.flush()


def _checkout(place: Path) -> Path:
    """A copy of the tracked files, so that `.venv` is the reader's own."""
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
    copy = place / "remora"
    copy.mkdir()
    subprocess.run(["tar", "-x", "-C", str(copy)], input=archive, check=True)
    return copy


if __name__ == "__main__":
    sys.exit(main())
