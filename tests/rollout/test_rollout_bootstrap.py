"""The template's script that fetches a release, as `python3 -c` of a process, from a server that fails."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.adapters.faulty_share import CLIENT, HEADER, FaultyShare, serving

import remora.rollout.replica

SCRIPT = Path(remora.rollout.replica.__file__).with_name("bootstrap.py").read_text()
CONTENTS = {"release.json": b"{}", "code.zip": b"code", "requirements.txt": b"", "start.py": b"print()"}
RELEASE = hashlib.sha256(b"".join(hashlib.sha256(data).digest() for data in CONTENTS.values())).hexdigest()[
    :12
]
FOLDER = f".remora/releases/{RELEASE}"


@pytest.fixture
def share() -> Iterator[FaultyShare]:
    with serving(FaultyShare({f"{FOLDER}/{name}": data for name, data in CONTENTS.items()})) as running:
        yield running


def run(share: FaultyShare, root: Path, release: str = RELEASE, header: str = HEADER) -> tuple[int, str]:
    """The exit code, and what it said. It pauses for less time and less long than in a container."""
    script = SCRIPT.replace('"/mount"', repr(str(root)))
    script = script.replace("PAUSE_SECONDS = 3", "PAUSE_SECONDS = 0.01").replace("= 600", "= 0.5")
    given = {
        "REMORA_RELEASE": release,
        "REMORA_SHARE_URL": f"{share.url}/account/models",
        "REMORA_SHARE_IDENTITY": CLIENT,
        "IDENTITY_ENDPOINT": f"{share.url}/msi/token",
        "IDENTITY_HEADER": header,
    }
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", script],
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        check=False,
    )
    assert HEADER not in ran.stderr
    assert "token-" not in ran.stderr
    return ran.returncode, ran.stderr


def fetched(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / FOLDER).glob("*")}


def test_a_release_is_fetched_once(share: FaultyShare, tmp_path: Path) -> None:
    assert run(share, tmp_path) == (0, "")
    assert fetched(tmp_path) == CONTENTS
    asked = share.asked.total()
    assert run(share, tmp_path) == (0, "")
    assert share.asked.total() == asked
    (tmp_path / FOLDER / "code.zip").write_bytes(b"other")
    assert run(share, tmp_path) == (0, "")
    assert fetched(tmp_path) == CONTENTS


def test_without_a_release_there_is_nothing_to_do(share: FaultyShare, tmp_path: Path) -> None:
    for release in ("", "../../etc"):
        assert run(share, tmp_path, release) == (0, "")
    assert (share.asked.total(), list(tmp_path.iterdir())) == (0, [])


def test_a_role_that_takes_its_time_is_waited_for(share: FaultyShare, tmp_path: Path) -> None:
    share.faults[f"{FOLDER}/release.json"] = [403, 403]
    share.faults[f"{FOLDER}/code.zip"] = ["cut"]
    code, said = run(share, tmp_path)
    assert (code, said.count("AuthorizationPermissionMismatch; trying again")) == (0, 1)
    assert fetched(tmp_path) == CONTENTS


def test_it_does_not_wait_for_ever_and_says_for_what(share: FaultyShare, tmp_path: Path) -> None:
    share.faults[f"{FOLDER}/release.json"] = [403] * 10_000
    code, said = run(share, tmp_path)
    assert (code, said.splitlines()[-1]) == (
        1,
        f"cannot read release {RELEASE} on the share: AuthorizationPermissionMismatch",
    )
    assert run(share, tmp_path, header="wrong")[0] == 1


def test_a_release_that_is_not_what_its_id_says_is_not_started(share: FaultyShare, tmp_path: Path) -> None:
    share.files[f"{FOLDER}/start.py"] = b"something else"
    code, said = run(share, tmp_path)
    assert (code, "is damaged" in said) == (1, True)
    assert fetched(tmp_path) == {}
