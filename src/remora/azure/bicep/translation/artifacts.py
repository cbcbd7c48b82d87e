"""Opens what a module or an import names: a file beside it, or a module that `bicep restore` has stored.

Owns the references to registries and their place in the Bicep CLI's cache. Compiles and downloads nothing.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from remora.azure.bicep.syntax import nodes
from remora.azure.bicep.syntax.source import Source
from remora.azure.bicep.translation.files import LARGEST_FILE, Files, Unreadable
from remora.azure.bicep.translation.symbols import Program
from remora.azure.bicep.translation.terms import Json

CONFIGURATION = "bicepconfig.json"
PUBLIC = {"public": {"registry": "mcr.microsoft.com", "modulePath": "bicep"}}
ALIASED = re.compile(r"br/(?P<alias>[A-Za-z0-9_-]+):(?P<path>[^:@]+)(?P<version>[:@].+)")
WHOLE = re.compile(
    r"br:(?P<registry>[a-z0-9]+(?:[.-]+[a-z0-9]+)*(?::[0-9]+)?)/(?P<path>[^:@]+)(?P<version>[:@].+)"
)
SEGMENT = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*")
TAG = re.compile(r":([A-Za-z0-9_][A-Za-z0-9._-]{0,127})")
DIGEST = re.compile(r"@(sha256:[a-f0-9]{64})")
COMMENT = re.compile(r'("(?:[^"\\]|\\.)*")|//[^\n]*|/\*.*?\*/|,(?=\s*[}\]])', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Written:
    """A Bicep file."""

    origin: Path
    source: Source
    files: Files


@dataclass(frozen=True, slots=True)
class Stored:
    """A compiled template. `origin` is the path of its file, or its reference in a registry."""

    origin: Path | str
    template: dict[str, Json]


def opened(program: Program, name: nodes.String) -> Written | Stored:
    """The file or stored module that a string names. Raises InvalidFile."""
    text = name.literal
    if text is None:
        raise program.source.refuse(name.at, "the path of a module cannot be interpolated")
    try:
        if re.match(r"(br|ts)[:/]", text):
            return _from_registry(program, text)
        return _from_file(program, text)
    except (Unreadable, ValueError, OSError) as error:
        raise program.source.refuse(name.at, f"the module {text!r}: {error}") from None


def _from_file(program: Program, text: str) -> Written | Stored:
    path = program.files.find(text)
    content = program.files.content(text).decode("utf-8-sig")
    source = Source(program.source.path.parent / text, content)
    origin = Path(os.path.normpath(source.path))
    if path.suffix == ".json":
        return Stored(origin, _template(content))
    return Written(origin, source, program.files.beside(path))


def _template(content: str) -> dict[str, Json]:
    template = json.loads(content)
    if not isinstance(template, dict) or "resources" not in template:
        raise Unreadable("it is not an ARM template")
    return template


def _from_registry(program: Program, text: str) -> Stored:
    """A module that the Bicep CLI has put into its cache."""
    configuration = _configuration(program.files)
    whole = _without_alias(configuration, text)
    match = WHOLE.fullmatch(whole)
    if match is None or not all(SEGMENT.fullmatch(part) for part in match["path"].split("/")):
        raise Unreadable("it is not a module of a registry, as 'br:registry/path:tag'")
    path = _cache(configuration) / "br" / match["registry"].replace(":", "$")
    path = path / match["path"].replace("/", "$") / _version(match["version"]) / "main.json"
    if not path.is_file():
        raise Unreadable(
            f"it is not in the cache of the Bicep CLI ({path});"
            f" store it there with: bicep restore {program.source.path}"
        )
    if path.stat().st_size > LARGEST_FILE:
        raise Unreadable(f"{path} has more than {LARGEST_FILE} bytes")
    return Stored(whole, _template(path.read_text("utf-8-sig")))


def _without_alias(configuration: dict[str, Json], text: str) -> str:
    """The whole reference: an alias stands for a registry and the beginning of a path."""
    if text.startswith("br:"):
        return text
    match = ALIASED.fullmatch(text)
    if match is None:
        raise Unreadable("only modules of registries ('br:…' or 'br/alias:…') and local files are supported")
    if match["alias"] in _aliases(configuration, "moduleAliasesMock"):
        raise Unreadable(f"{CONFIGURATION} has a mock for {match['alias']!r}, which is not supported")
    found = {**PUBLIC, **_aliases(configuration, "moduleAliases")}.get(match["alias"])
    if not isinstance(found, dict) or not isinstance(found.get("registry"), str):
        raise Unreadable(f"{CONFIGURATION} has no alias {match['alias']!r} with a registry")
    prefix = f"{found['modulePath']}/" if found.get("modulePath") else ""
    return f"br:{found['registry']}/{prefix}{match['path']}{match['version']}"


def _aliases(configuration: dict[str, Json], section: str) -> dict[str, Json]:
    kinds = configuration.get(section)
    found = kinds.get("br") if isinstance(kinds, dict) else None
    return found if isinstance(found, dict) else {}


def _version(text: str) -> str:
    """The name of a version's folder. A tag's capitals are a number, as file systems can ignore case."""
    if digest := DIGEST.fullmatch(text):
        return digest[1].replace(":", "#")
    tag = TAG.fullmatch(text)
    if tag is None:
        raise Unreadable(f"{text!r} is neither a tag nor a digest")
    capitals = sum(1 << index for index, letter in enumerate(tag[1]) if letter.isupper())
    return f"{tag[1]}${f'{capitals:x}' if capitals else ''}"


def _cache(configuration: dict[str, Json]) -> Path:
    given = configuration.get("cacheRootDirectory")
    return Path(given).expanduser() if isinstance(given, str) and given.strip() else Path.home() / ".bicep"


def _configuration(files: Files) -> dict[str, Json]:
    """The nearest `bicepconfig.json`, in the file's folder or above. Raises Unreadable if that is outside."""
    folder = files.folder.resolve()
    path = next(
        (at / CONFIGURATION for at in (folder, *folder.parents) if (at / CONFIGURATION).is_file()), None
    )
    if path is None:
        return {}
    if not path.is_relative_to(files.root.resolve()):
        raise Unreadable(f"{path} is outside {files.root}, and only files inside are read")
    text = COMMENT.sub(lambda match: match[1] or "", path.read_text("utf-8-sig"))
    found = json.loads(text)
    return found if isinstance(found, dict) else {}
