"""What Remora keeps in HOME and beside a project, damaged: it counts as none, or an error says what helps."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import suppress
from pathlib import Path

import pytest

from containerapps_emulator.connection import FILE_NAME, Connection, keep_connection, write_connection
from remora.adapters.hash_cache import HashCache
from remora.azure.profile import load_profile, local_connection
from remora.cli.models.base_option import read_settings
from remora.cli.why.last_command import last_failure
from remora.errors import CloudUnavailable, InvalidFile
from remora.rollout.evaluation.kept_scores import kept_scores
from remora.rollout.golden.prompts import read_golden

DAMAGES = (
    b"",
    b'{"pid": 1, "evalu',
    b"[]",
    b"null",
    b'{"evaluations": 3, "pid": 4}',
    b"\xff\xfe{",
    b"[" * 100_000,
)
every_damage = pytest.mark.parametrize("damage", DAMAGES, ids=map(str, range(len(DAMAGES))))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    (home / "cloud").mkdir(parents=True)
    (home / "commands").mkdir()
    monkeypatch.setenv("REMORA_HOME", str(home))
    return home


@every_damage
def test_a_damaged_file_in_home_counts_as_none(home: Path, tmp_path: Path, damage: bytes) -> None:
    project = hashlib.sha256(str(tmp_path.resolve()).encode()).hexdigest()[:16]
    for name in ("cloud/connection.json", "bases.json", "hashes.json", f"commands/{project}.json"):
        (home / name).write_bytes(damage)
    assert local_connection(home) is None
    with pytest.raises(CloudUnavailable) as refused:
        load_profile("local", home)
    assert refused.value.hint == "run: remora cloud start"
    assert read_settings(tmp_path, environment={}).model.base is None
    assert last_failure(tmp_path) is None
    (tmp_path / "file").write_bytes(b"content")
    cache = HashCache(home / "hashes.json", settled_seconds=0)
    assert cache.sha256(tmp_path / "file") == hashlib.sha256(b"content").hexdigest()
    cache.save()
    again = HashCache(home / "hashes.json")
    again.sha256(tmp_path / "file")
    assert again.hashed_bytes == 0


def test_a_local_cloud_writes_its_damaged_connection_again(home: Path) -> None:
    connection = Connection(1, "http://a", "http://f", "token", "subscription", "tenant", "1")
    file = home / "cloud" / FILE_NAME
    write_connection(file.parent, connection)
    whole = file.read_bytes()

    async def kept() -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(keep_connection(file.parent, connection, seconds=0.001), 0.1)

    for damage in DAMAGES:
        file.write_bytes(damage)
        asyncio.run(kept())
        assert file.read_bytes() == whole
    file.unlink()
    asyncio.run(kept())
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (whole, 0o600)


@every_damage
def test_damaged_scores_and_prompts_name_what_helps(tmp_path: Path, damage: bytes) -> None:
    scores = tmp_path / "evaluation.json"
    scores.write_bytes(damage)
    with pytest.raises(InvalidFile) as refused:
        kept_scores(tmp_path)
    assert refused.value.hint == f"delete {scores}, and evaluate again: remora eval"
    (tmp_path / "golden.toml").write_bytes(damage or b"prompt = 3")
    with pytest.raises(InvalidFile, match=r"golden\.toml"):
        read_golden(tmp_path)
