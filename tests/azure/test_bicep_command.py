"""The user's own Bicep CLI compiles where there is one, and is heard; none is ever installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from remora.azure.bicep import build
from remora.errors import InvalidFile
from remora.project.scaffold import scaffold_texts, write_scaffold
from remora.project.toolkit.config import load_inference_config

TEMPLATE = {"contentVersion": "9.9.9.9", "resources": [], "metadata": {"from": "the CLI"}}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "infra" / "main.bicep"
    path.parent.mkdir()
    path.write_text("param a string\n")
    return path


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """An empty folder for executables."""
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def write_tool(folder: Path, name: str, script: str) -> None:
    """A stand-in executable that first writes down how it was called."""
    path = folder / name
    log = folder / f"{name}.calls"
    path.write_text(f'#!/bin/sh\necho "$@" >> {log}\n{script}\n')
    path.chmod(0o755)


def calls(folder: Path, name: str) -> list[str]:
    log = folder / f"{name}.calls"
    return log.read_text().splitlines() if log.exists() else []


def test_without_a_cli_our_compiler_is_used(source: Path, tools: Path) -> None:
    built = build(source, search_path=str(tools))
    assert (built.compiler, list(built.template["parameters"])) == ("remora", ["a"])
    source.write_bytes(b"\xef\xbb\xbfparam b string\r\n")
    assert list(build(source, search_path=str(tools)).template["parameters"]) == ["b"]
    source.write_bytes(b"param c string = '\xff'")
    with pytest.raises(InvalidFile, match="UTF-8"):
        build(source, search_path=str(tools))


def test_bicep_is_used_where_it_is_there_and_its_warnings_are_kept(source: Path, tools: Path) -> None:
    warning = f"{source}(1,7) : Warning no-unused-params: Parameter a is declared but never used."
    write_tool(tools, "bicep", f"echo '{json.dumps(TEMPLATE)}'\necho '{warning}' >&2")
    write_tool(tools, "az", "exit 1")
    built = build(source, search_path=str(tools))
    assert (built.template, built.compiler, built.diagnostics) == (
        TEMPLATE,
        "bicep build --stdout",
        (warning,),
    )
    assert calls(tools, "bicep") == [f"build --stdout {source}"]
    assert not calls(tools, "az")


def test_az_bicep_is_used_where_it_is_installed(source: Path, tools: Path) -> None:
    write_tool(tools, "az", f"[ \"$2\" = version ] && exit 0\necho '{json.dumps(TEMPLATE)}'")
    assert build(source, search_path=str(tools)).template == TEMPLATE
    assert calls(tools, "az") == ["bicep version", f"bicep build --stdout --file {source}"]


def test_an_az_without_bicep_is_not_made_to_download_it(source: Path, tools: Path) -> None:
    write_tool(tools, "az", 'echo "Bicep CLI not found." >&2\nexit 1')
    assert build(source, search_path=str(tools)).compiler == "remora"
    assert calls(tools, "az") == ["bicep version"]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'main.bicep(1,1) : Error BCP007: no' >&2\necho 'more' >&2\nexit 1", "BCP007: no\nmore"),
        ("exit 3", "exit code 3, without a message"),
        ("echo hello", "wrote no template"),
        ("echo '[]'", "wrote no template"),
    ],
)
def test_a_cli_that_fails_is_not_replaced_by_ours(source: Path, tools: Path, script: str, said: str) -> None:
    write_tool(tools, "bicep", script)
    with pytest.raises(InvalidFile) as caught:
        build(source, search_path=str(tools))
    assert caught.value.message.startswith(str(source))
    assert said in caught.value.message
    assert caught.value.hint == f"try: bicep build --stdout {source}"


def provision(project: Path, tools: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """`remora provision` with the stand-ins before everything else on PATH."""
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "REMORA_HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-m", "remora", "provision", str(project), "--yes", "-g", "cli-made"],
        env=environment,
        capture_output=True,
        check=False,
        text=True,
    )


def test_provision_deploys_what_the_cli_writes(tmp_path: Path, tools: Path, home: Path) -> None:
    project = tmp_path / "project"
    write_scaffold(project, scaffold_texts(base="base", name="b", adapters={}))
    compiled = (project / "infra/provision/inference.json").read_text()
    (tools / "template.json").write_text(compiled.replace("aiacaapp", "fromthecli"))
    write_tool(tools, "bicep", f"cat {tools}/template.json\necho 'a warning' >&2")
    done = provision(project, tools, home)
    assert done.returncode == 0, done.stderr
    assert "compiled by: bicep build --stdout" in done.stderr
    assert "a warning" in done.stderr
    assert (load_inference_config(project).app or "").startswith("fromthecli")


def test_provision_shows_what_the_cli_refuses(source: Path, tools: Path, tmp_path: Path) -> None:
    project = source.parent.parent
    (project / "infra/provision").mkdir()
    source.rename(project / "infra/provision/inference.bicep")
    write_tool(tools, "bicep", "echo 'inference.bicep(1,1) : Error BCP007: no such thing' >&2\nexit 1")
    done = provision(project, tools, tmp_path / "home")
    assert done.returncode == InvalidFile.exit_code
    assert "Error BCP007: no such thing" in done.stderr
    assert "Traceback" not in done.stderr
