"""The extension builds: linted, its own tests passed, and packaged with what it needs and nothing else.

Works on a copy, so that a checkout in use is left alone. Needs Node, and the npm registry for what builds it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.vscode.recorded import EXTENSION, Json

OLDEST_NODE = 20
STEP_SECONDS = 400
OFFLINE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT")
LEFT_OUT = shutil.ignore_patterns("node_modules", ".workbench", "dist*", "*.vsix")

pytestmark = pytest.mark.timeout(4 * STEP_SECONDS)


def test_the_extension_is_checked_and_packaged(extension: Path) -> None:
    for script in ("lint", "test", "package"):
        done = _npm(extension, "run", script)
        assert done.returncode == 0, f"{script}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    with zipfile.ZipFile(extension / "remora.vsix") as package:
        names = {name.removeprefix("extension/") for name in package.namelist()}
        manifest = json.loads(package.read("extension/package.json"))
    assert _named(manifest) <= names
    assert not [name for name in names if name.startswith(("src/", "test/", "e2e/", "node_modules/"))]


def test_the_lock_file_names_no_registry() -> None:
    lock = json.loads((EXTENSION / "package-lock.json").read_text(encoding="utf-8"))
    assert [name for name, package in lock["packages"].items() if "resolved" in package] == []


@pytest.fixture
def extension(tmp_path: Path) -> Iterator[Path]:
    node = _node_version()
    if node < OLDEST_NODE:
        pytest.skip(f"Node {OLDEST_NODE} or newer is not installed: the extension is not built")
    copy = tmp_path / "vscode"
    shutil.copytree(EXTENSION, copy, ignore=LEFT_OUT)
    done = _npm(copy, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
    if done.returncode and not os.environ.get("CI") and any(code in done.stderr for code in OFFLINE):
        pytest.skip("the npm registry does not answer: the extension is not built")
    assert done.returncode == 0, done.stderr[-4000:]
    yield copy
    shutil.rmtree(copy)  # hundreds of megabytes


def _node_version() -> int:
    """Node's major version; 0 where there is no Node with npm."""
    if not (shutil.which("node") and shutil.which("npm")):
        return 0
    printed = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    return int(printed.removeprefix("v").partition(".")[0])


def _npm(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["npm", *words], cwd=folder, capture_output=True, text=True, check=False, timeout=STEP_SECONDS
    )


def _named(manifest: Json) -> set[str]:
    """The files of the package that its manifest names."""
    schemas = [entry["url"] for entry in manifest["contributes"]["jsonValidation"]]
    return {path.removeprefix("./") for path in (manifest["main"], *schemas)}
