"""`make release VERSION=1.2.3`: both packages' version, the changelog's section, and checked wheels in dist/.

Owns what changes in the tree for a release. Commits, tags and publishes nothing; prints how to.
"""

from __future__ import annotations

import datetime
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
EMULATOR = ROOT / "packages" / "containerapps-emulator"
VERSION_FILES = (
    ROOT / "src" / "remora" / "__init__.py",
    EMULATOR / "src" / "containerapps_emulator" / "__init__.py",
)
PROJECT = ROOT / "pyproject.toml"
REQUIREMENT = re.compile(r'"containerapps-emulator~=[^"]*"')
CHANGELOG = ROOT / "CHANGELOG.md"
DIST = ROOT / "dist"
UNRELEASED = "## [Unreleased]\n"


def main(version: str) -> None:
    if not re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", version):
        sys.exit(f"'{version}' is no version; use three numbers, as in: make release VERSION=1.2.3")
    if git("status", "--porcelain"):
        sys.exit("there are uncommitted changes; commit them first")
    if git("tag", "--list", f"v{version}"):
        sys.exit(f"v{version} is released already; choose a higher version")
    today = datetime.datetime.now(datetime.UTC).date()
    CHANGELOG.write_text(released(CHANGELOG.read_text("utf-8"), version, today), "utf-8")
    for file in VERSION_FILES:
        file.write_text(
            re.sub(r'__version__ = ".*"', f'__version__ = "{version}"', file.read_text("utf-8")), "utf-8"
        )
    required = f'"containerapps-emulator~={version}"'
    PROJECT.write_text(REQUIREMENT.sub(required, PROJECT.read_text("utf-8")), "utf-8")
    wheel = ("pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(DIST))
    run(*wheel, str(ROOT), str(EMULATOR))
    run("pytest", "-q", "tests/release")
    print(f"dist/ has the wheels of {version}. Publish them with:")
    print(f"  git commit -am 'Release {version}' && git tag v{version} && git push --follow-tags")


def released(changelog: str, version: str, day: datetime.date) -> str:
    """The changelog with what was unreleased under `version`, and an empty section above it.

    Raises:
        SystemExit: nothing is unreleased.
    """
    before, heading, after = changelog.partition(UNRELEASED)
    if not heading or not after.split("\n## ", 1)[0].strip():
        sys.exit("CHANGELOG.md has nothing under [Unreleased]; write down what changed first")
    return f"{before}{UNRELEASED}\n## [{version}] - {day.isoformat()}\n{after}"


def git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()


def run(*module: str) -> None:
    subprocess.run([sys.executable, "-m", *module], cwd=ROOT, check=True)


if __name__ == "__main__":
    main(*sys.argv[1:2] or [""])
