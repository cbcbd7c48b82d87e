"""`python -m tests.docs.follow [--install] [SCENE…]`: does what the pages say, each scene in a fresh HOME.

The tutorial is a scene of its own: its blocks run in one shell, in their order; the reader's folder is a
copy of `examples/tone`, given by the variable that the block `tutorial: yours` sets. With `--install` its
first step is done too, else the environment that is there is used, as on every other page. `scenes.py` says
what the other pages need. Ends at the first command that fails, and at a page that shows what was not
printed (`shown.py`).
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

from tests.docs.blocks import ROOT, Block, blocks_of
from tests.docs.scenes import EXAMPLE, FOLLOWED, SCENES, TUTORIAL, Scene
from tests.docs.shown import not_printed

SHELL = ("sh", "bash")
SECONDS = 3600.0  # a bound for what hangs
INSTALLS = re.compile(r"^pip install .*\n", re.MULTILINE)
FAILS = re.compile(r"^(remora .*?) *# fails.*$", re.MULTILINE)


def main() -> int:
    install = "--install" in sys.argv[1:]
    chosen = [name for name in sys.argv[1:] if not name.startswith("-")] or ["tutorial", *SCENES]
    for name in chosen:
        with tempfile.TemporaryDirectory(prefix=f"remora-{name}-") as folder:
            began = time.monotonic()
            try:
                wrong = (
                    _tutorial(Path(folder), install=install)
                    if name == "tutorial"
                    else _scene(name, Path(folder))
                )
            except subprocess.CalledProcessError as failed:
                sys.stderr.write(f"{name}: the last command ended with exit code {failed.returncode}\n")
                return 1
            for line in wrong:
                sys.stderr.write(f"not printed: {line}\n")
            if wrong:
                return 1
            sys.stdout.write(f"{name}: done in {time.monotonic() - began:.0f} s\n")
            sys.stdout.flush()
    return 0


def script_of(steps: Sequence[Block], folder: Path, between: Mapping[str, str] = {}) -> str:
    """One shell script, which names each block before it runs. `folder` is the tutorial's reader's own."""
    parts = ["set -eu"]
    for block in steps:
        parts += [text for start, text in between.items() if block.text.startswith(start)]
        text = f"MODELS={folder}\n" if block.mark == "tutorial: yours" else block.text
        if block.mark != "tutorial: install":
            text = INSTALLS.sub("", text)
        parts.append(f"echo '— {block.where}'\n{FAILS.sub(_must_fail, text)}")
    return "\n".join(parts)


def steps_of(page: str, *, install: bool = False) -> list[Block]:
    """The blocks of a page that run."""
    wanted = FOLLOWED if install else FOLLOWED - {"tutorial: install"}
    return [block for block in blocks_of(ROOT / page) if block.language in SHELL and block.mark in wanted]


def scene_script(scene: Scene) -> str:
    steps = [block for page in scene.pages for block in steps_of(page)]
    first = Block("the scene", 0, "sh", "", f"{scene.first}\n")
    return script_of([first, *steps], Path(), scene.between)


def run(script: str, working: Path, environment: Mapping[str, str], write: Callable[[str], object]) -> str:
    """What the script prints on both streams. Raises CalledProcessError at the first command that fails."""
    printed: list[str] = []
    with _bounded(script, working, environment) as started:
        assert started.stdout is not None
        for line in started.stdout:
            printed.append(line)
            write(line)
    if started.returncode:
        raise subprocess.CalledProcessError(started.returncode, "bash", "".join(printed))
    return "".join(printed)


@contextmanager
def _bounded(script: str, working: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """The running script. It is killed with what it started after SECONDS; its local cloud is stopped."""
    try:
        with subprocess.Popen(
            ["bash", "-c", script],
            cwd=working,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as started:
            clock = Timer(SECONDS, os.killpg, (started.pid, signal.SIGKILL))
            clock.start()
            try:
                yield started
            except BaseException:  # Ctrl+C does not reach a session of its own
                os.killpg(started.pid, signal.SIGINT)
                raise
            finally:
                clock.cancel()
    finally:
        subprocess.run(
            [sys.executable, "-m", "remora", "cloud", "stop"],
            env=environment,
            check=False,
            stdout=subprocess.DEVNULL,
        )


def environment_of(place: Path) -> dict[str, str]:
    """Nothing of ours but the programs, and what pip needs."""
    kept = ("PATH", "LANG", "OMP_WAIT_POLICY", "SSL_CERT_FILE")
    clean = {name: value for name, value in os.environ.items() if name in kept or name.startswith("PIP_")}
    home = place / "home"
    home.mkdir(exist_ok=True)
    programs = f"{Path(sys.executable).parent}{os.pathsep}{clean['PATH']}"
    return {**clean, "HOME": str(home), "COLUMNS": "100", "PATH": programs}


def _tutorial(place: Path, *, install: bool) -> list[str]:
    models = place / "my-adapter"
    shutil.copytree(EXAMPLE, models)
    (models / "remora.toml").unlink()
    script = script_of(steps_of(TUTORIAL, install=install), models)
    printed = run(script, _checkout(place) if install else ROOT, environment_of(place), sys.stdout.write)
    return not_printed(TUTORIAL, printed)


def _scene(name: str, place: Path) -> list[str]:
    scene = SCENES[name]
    scene.lay_out(place)
    printed = run(scene_script(scene), place, environment_of(place), sys.stdout.write)
    return [line for page in scene.pages for line in not_printed(page, printed)]


def _must_fail(line: re.Match[str]) -> str:
    return f"if {line[1]}; then exit 1; fi"


def _checkout(place: Path) -> Path:
    """A copy of the tracked files, so that `.venv` is the reader's own."""
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
    copy = place / "remora"
    copy.mkdir()
    subprocess.run(["tar", "-x", "-C", str(copy)], input=archive, check=True)
    return copy


if __name__ == "__main__":
    sys.exit(main())
