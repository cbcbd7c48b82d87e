"""Modules and imports from registries: read where `bicep restore` puts them, never from the network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.azure.bicep_builders import compiled

from remora.errors import InvalidFile

MODULE = {
    "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
    "contentVersion": "1.0.0.0",
    "definitions": {"size": {"type": "int", "metadata": {"__bicep_export!": True}}},
    "parameters": {"name": {"type": "string"}},
    "resources": [],
    "outputs": {"id": {"type": "string", "value": "x"}},
}
PUBLIC = "br/mcr.microsoft.com/bicep$net$gateway"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with two versions of a public module in the Bicep CLI's cache."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for version in ("1.2.0$", "1.2.0-rC$80"):
        store(tmp_path / ".bicep" / PUBLIC / version)
    (tmp_path / "project").mkdir()
    return tmp_path


def store(folder: Path, module: object = MODULE) -> None:
    folder.mkdir(parents=True)
    (folder / "main.json").write_text(json.dumps(module))


def module(reference: str) -> str:
    return f"module m '{reference}' = {{\n  name: 'm'\n  params: {{ name: 'a' }}\n}}\n"


def compiled_in(home: Path, source: str) -> dict[str, Any]:
    return compiled(source, home / "project" / "main.bicep")


def refusal(home: Path, source: str) -> str:
    with pytest.raises(InvalidFile) as caught:
        compiled_in(home, source)
    return caught.value.message


@pytest.mark.parametrize(
    "reference",
    [
        "br/public:net/gateway:1.2.0",
        "br:mcr.microsoft.com/bicep/net/gateway:1.2.0",
        "br/public:net/gateway:1.2.0-rC",  # a capital is the eighth letter: bit 7 of the folder's number
    ],
)
def test_a_stored_module_is_compiled_into_the_template(home: Path, reference: str) -> None:
    template = compiled_in(home, module(reference))
    assert template["resources"][0]["properties"]["template"] == MODULE


def test_an_import_names_the_whole_reference(home: Path) -> None:
    template = compiled_in(home, "import { size } from 'br/public:net/gateway:1.2.0'\nparam s size")
    assert template["definitions"]["size"]["metadata"] == {
        "__bicep_imported_from!": {"sourceTemplate": "br:mcr.microsoft.com/bicep/net/gateway:1.2.0"}
    }


def test_aliases_and_the_cache_are_in_the_configuration(home: Path) -> None:
    digest = "sha256:" + "0a" * 32
    store(home / "cache" / "br" / "own.azurecr.io$5000" / "a$b$c" / digest.replace(":", "#"))
    (home / "project" / "bicepconfig.json").write_text(
        """
        // where modules are
        {
          "cacheRootDirectory": "~/cache", /* not ~/.bicep */
          "moduleAliases": { "br": { "own": { "registry": "own.azurecr.io:5000", "modulePath": "a/b" }, } }
        }
        """
    )
    template = compiled_in(home, module(f"br/own:c@{digest}"))
    assert template["resources"][0]["properties"]["template"] == MODULE


def test_a_module_that_is_not_stored_is_refused_with_the_command_that_stores_it(home: Path) -> None:
    message = refusal(home, module("br/public:net/gateway:9.9.9"))
    main = home / "project" / "main.bicep"
    assert message.startswith(
        f"{main}:1:10: the module 'br/public:net/gateway:9.9.9': it is not in the cache"
    )
    assert str(home / ".bicep" / PUBLIC / "9.9.9$" / "main.json") in message
    assert message.endswith(f"bicep restore {main}")


@pytest.mark.parametrize(
    ("reference", "named"),
    [
        ("br/other:net/gateway:1.2.0", "bicepconfig.json has no alias 'other'"),
        ("br:mcr.microsoft.com/../../secret:1", "is not a module of a registry"),
        ("br:../br/mcr.microsoft.com/x:1", "is not a module of a registry"),
        ("br:mcr.microsoft.com/bicep/net/gateway", "is not a module of a registry"),
        ("br:mcr.microsoft.com/bicep/net/gateway:../x", "is neither a tag nor a digest"),
        ("br:mcr.microsoft.com/bicep/net/gateway@sha256:0", "is neither a tag nor a digest"),
        ("br:MCR.microsoft.com/bicep/net/gateway:1", "is not a module of a registry"),
        ("ts:00000000-0000-0000-0000-000000000000/rg/spec:1", "only modules of registries"),
        ("ts/specs:spec:1", "only modules of registries"),
    ],
)
def test_other_references_are_refused(home: Path, reference: str, named: str) -> None:
    assert named in refusal(home, module(reference))


def test_a_configuration_outside_of_the_project_is_not_read(home: Path) -> None:
    (home / "bicepconfig.json").write_text('{"cacheRootDirectory": "/"}')
    assert "bicepconfig.json is outside" in refusal(home, module("br/public:net/gateway:1.2.0"))


def test_an_alias_with_a_mock_is_refused(home: Path) -> None:
    (home / "project" / "bicepconfig.json").write_text('{"moduleAliasesMock": {"br": {"public": {}}}}')
    assert "has a mock for 'public'" in refusal(home, module("br/public:net/gateway:1.2.0"))


def test_a_damaged_module_or_configuration_is_refused(home: Path) -> None:
    (home / ".bicep" / PUBLIC / "1.2.0$" / "main.json").write_text("[]")
    assert "is not an ARM template" in refusal(home, module("br/public:net/gateway:1.2.0"))
    (home / "project" / "bicepconfig.json").write_text("{")
    assert "main.bicep:1:10: the module" in refusal(home, module("br/public:net/gateway:1.2.0"))
