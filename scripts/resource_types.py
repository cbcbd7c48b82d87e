"""`python -m scripts.resource_types REPOSITORY`: writes the list of how Bicep spells the types of resources.

REPOSITORY is the git directory of a clone of Azure/bicep-types-az, whose documents have one heading for each
type and version.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from remora.azure.bicep.translation.spelling import LIST

HEADING = re.compile(rb"^## Resource ([\w.]+(?:/[\w.]+)+)@([\w-]+)", re.MULTILINE)


def main(repository: str) -> None:
    """Write the list. Raises CalledProcessError if git refuses."""
    versions: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for kind, version in _headings(repository):
        versions[kind.lower()][kind].append(version)
    lines = [line for _, spellings in sorted(versions.items()) for line in _lines(spellings)]
    commit = git(repository, "log", "-1", "--format=%h of %cs").decode().strip()
    head = f"# Azure/bicep-types-az, {commit}: the spelling of types; where versions follow, only of these."
    LIST.write_text("\n".join((head, *lines, "")), "utf-8")
    print(f"{len(versions)} types in {LIST}")


def _lines(spellings: dict[str, list[str]]) -> Iterator[str]:
    """The spelling of the newest version stands alone; before it are others, with their versions."""
    newest = max(spellings, key=lambda kind: max(spellings[kind]))
    for kind in sorted(spellings.keys() - {newest}):
        yield " ".join((kind, *sorted(spellings[kind])))
    yield newest


def _headings(repository: str) -> Iterator[tuple[str, str]]:
    tree = git(repository, "ls-tree", "-r", "HEAD", "generated/").decode().splitlines()
    blobs = [line.split()[2] for line in tree if line.endswith("/types.md")]
    documents = git(repository, "cat-file", "--batch", given="\n".join(blobs).encode())
    for kind, version in HEADING.findall(documents):
        yield kind.decode(), version.decode()


def git(repository: str, *arguments: str, given: bytes | None = None) -> bytes:
    """What a command of git prints. Raises CalledProcessError if git refuses."""
    command = ["git", "--git-dir", repository, *arguments]
    return subprocess.run(command, input=given, capture_output=True, check=True).stdout


if __name__ == "__main__":
    main(str(Path(sys.argv[1])))
