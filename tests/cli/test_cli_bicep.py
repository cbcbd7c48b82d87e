"""`remora bicep check`: both compilers on one file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from remora.azure.bicep import compile_bicep
from remora.errors import InvalidFile, NotFound, VerificationFailed
from remora.project.scaffold import BICEP_FILE

SOURCE = """
param name string
resource store 'Microsoft.Storage/storageAccounts@2023-01-01' = {
  name: name
  location: 'westeurope'
  kind: 'StorageV2'
  sku: { name: 'Standard_LRS' }
  resource files 'fileServices' = {
    name: 'default'
  }
}
output id string = store.id
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / BICEP_FILE
    path.parent.mkdir(parents=True)
    path.write_text(SOURCE)
    return path


def check(*arguments: str, tools: Path) -> subprocess.CompletedProcess[str]:
    return bicep("check", *arguments, tools=tools)


def bicep(*arguments: str, tools: Path) -> subprocess.CompletedProcess[str]:
    """The command, with these tools alone on PATH."""
    return subprocess.run(
        [sys.executable, "-m", "remora", "bicep", *arguments],
        env={**os.environ, "PATH": str(tools)},
        capture_output=True,
        check=False,
        text=True,
    )


def as_the_cli_writes(template: dict[str, Any], tools: Path) -> Path:
    """A stand-in for the Bicep CLI that writes a template."""
    tools.mkdir()
    (tools / "template.json").write_text(json.dumps(template))
    tool = tools / "bicep"
    tool.write_text(f"#!/bin/sh\nexec /bin/cat {tools}/template.json\n")
    tool.chmod(0o755)
    return tools


def test_both_write_the_same(file: Path, tmp_path: Path) -> None:
    template = json.loads(json.dumps(compile_bicep(SOURCE, file)))
    template["metadata"] = {"_generator": {"name": "bicep", "version": "0.40.2"}}
    tools = as_the_cli_writes(template, tmp_path / "tools")
    done = check(str(tmp_path), tools=tools)
    assert done.returncode == 0, done.stderr
    assert f"{file}: Remora's compiler writes a template with 2 resources" in done.stdout
    assert "the Bicep CLI writes the same one" in done.stdout
    document = json.loads(check(str(file), "-o", "json", tools=tools).stdout)
    assert (document["resources"], document["cli"]) == (2, f"{tools}/bicep build --stdout")


def test_what_differs_is_shown(file: Path, tmp_path: Path) -> None:
    template = json.loads(json.dumps(compile_bicep(SOURCE, file)))
    store = next(item for item in template["resources"] if item.get("kind") == "StorageV2")
    store["kind"] = "BlobStorage"
    del template["outputs"]["id"]["type"]
    done = check(str(file), tools=as_the_cli_writes(template, tmp_path / "tools"))
    assert done.returncode == VerificationFailed.exit_code
    assert '/kind: "StorageV2" here, "BlobStorage" by the Bicep CLI' in done.stderr
    assert '/outputs/id/type: "string" here, nothing by the Bicep CLI' in done.stderr
    assert "differ in 2 places" in done.stderr


def test_without_a_cli_nothing_is_compared(file: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    done = check(str(file), tools=tmp_path / "none")
    assert done.returncode == 0, done.stderr
    assert "no Bicep CLI is on PATH, so nothing was compared" in done.stdout


def test_our_template_is_printed_whole(file: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    done = bicep("build", str(tmp_path), tools=tmp_path / "none")
    assert json.loads(done.stdout) == json.loads(json.dumps(compile_bicep(SOURCE, file)))
    document = json.loads(bicep("build", str(file), "-o", "json", tools=tmp_path / "none").stdout)
    assert document["template"] == json.loads(done.stdout)


def test_bad_input(file: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    file.write_text("param name text\n")
    done = check(str(tmp_path), tools=tmp_path / "none")
    assert done.returncode == InvalidFile.exit_code
    assert "inference.bicep:1:12" in done.stderr
    file.unlink()
    done = check(str(tmp_path), tools=tmp_path / "none")
    assert done.returncode == NotFound.exit_code
    assert f"{file} does not exist" in done.stderr
