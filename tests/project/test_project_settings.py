"""Settings come from defaults, remora.toml and the environment, in rising order, and say which."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest
from tests.project.settings_file import update_settings

from remora.errors import InvalidFile, InvalidInput
from remora.project.settings import load_settings

FULL = """\
cloud = "azure"  # where
[model]
base = "base"
name = "tone-base"
also_known_as = ["phi-2"]
[adapters]
tone = "adapters/tone"
"v1.2" = "adapters/v1.2"
[serve]
dtype = "float32"
max_running_requests = 4
[scale]
min_replicas = 2
max_replicas = 3
"""


def write(root: Path, text: str) -> Path:
    (root / "remora.toml").write_text(text)
    return root


def test_a_missing_file_means_defaults(tmp_path: Path) -> None:
    settings = load_settings(tmp_path, {})
    assert (settings.cloud, settings.model.base, dict(settings.adapters)) == ("local", None, {})
    assert (settings.serve.dtype, settings.serve.max_running_requests) == ("auto", 16)
    assert (settings.scale.min_replicas, settings.scale.max_replicas) == (1, 1)
    assert set(settings.origins.values()) == {"default"}


def test_every_value_says_where_it_came_from(tmp_path: Path) -> None:
    environment = {"REMORA_SERVE_DTYPE": "bfloat16", "REMORA_HOME": "/elsewhere", "PATH": "/bin"}
    settings = load_settings(write(tmp_path, FULL), environment)
    assert settings.cloud == "azure"
    assert settings.model.base == tmp_path / "base"
    assert settings.model.also_known_as == ("phi-2",)
    assert settings.adapters == {
        "tone": tmp_path / "adapters/tone",
        "v1.2": tmp_path / "adapters/v1.2",
    }
    assert settings.serve.dtype == "bfloat16"
    assert settings.scale.max_replicas == 3
    origins = settings.origins
    assert origins["serve.dtype"] == "environment"
    assert origins["serve.max_running_requests"] == origins["adapters.tone"] == "remora.toml"
    assert origins["serve.max_queued_requests"] == "default"


def test_the_environment_may_name_a_base_anywhere(tmp_path: Path) -> None:
    settings = load_settings(
        tmp_path, {"REMORA_MODEL_BASE": "/models/phi-2", "REMORA_SCALE_MAX_REPLICAS": "7"}
    )
    assert settings.model.base == Path("/models/phi-2")
    assert settings.scale.max_replicas == 7


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ('clod = "azure"', 1, "clod"),
        ("[serve]\n\nmax_runing = 4", 3, "serve.max_runing"),
        ('[serve]\ndtype = "float16"', 2, "serve.dtype"),
        ('[serve]\nmax_running_requests = "4"', 2, "serve.max_running_requests"),
        ("[serve]\nmax_running_requests = true", 2, "serve.max_running_requests"),
        ("[serve]\nmax_running_requests = 0", 2, "serve.max_running_requests"),
        ('[serve]\nstrict = "no"', 2, "serve.strict"),
        ("[serve]\nstrict = 0", 2, "serve.strict"),
        ("serve = 3", 1, "serve"),
        ("cloud = []", 1, "cloud"),
        ("[scale]\nmax_replicas = 2\nmin_replicas = 3", 3, "scale.min_replicas"),
        ('[model]\nbase = "/etc"', 2, "model.base"),
        ('[model]\nbase = "../other"', 2, "model.base"),
        ('[model]\nbase = "C:\\\\models"', 2, "model.base"),
        ('[model]\nname = "a:b"', 2, "model.name"),
        ("[model]\nalso_known_as = [1]", 2, "model.also_known_as"),
        ('[adapters]\n"a b" = "x"', 2, "adapters.a b"),
        ('[adapters]\n"a/b" = "x"', 2, "adapters.a/b"),
        ("[adapters]\ntone = 3", 2, "adapters.tone"),
        ('[adapters]\ntone = "x/../../y"', 2, "adapters.tone"),
        ('[model]\nname = "tone"\n[adapters]\ntone = "x"', 4, "adapters.tone"),
    ],
)
def test_a_wrong_file_is_refused_with_line_and_key(tmp_path: Path, text: str, line: int, key: str) -> None:
    with pytest.raises(InvalidFile) as caught:
        load_settings(write(tmp_path, text), {})
    assert caught.value.message.startswith(f"{tmp_path}/remora.toml:{line}: ")
    assert caught.value.param == key
    assert caught.value.hint


def test_strictness_is_true_or_false(tmp_path: Path) -> None:
    write(tmp_path, "[serve]\nstrict = false\nollama = true\nmax_answer_tokens = 9")
    serve = load_settings(tmp_path, {}).serve
    assert (serve.strict, serve.ollama, serve.max_answer_tokens) == (False, True, 9)
    assert load_settings(tmp_path, {"REMORA_SERVE_STRICT": "true"}).serve.strict


def test_broken_toml_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match=r"remora\.toml: not valid TOML: .*line 2"):
        load_settings(write(tmp_path, 'cloud = "local"\n[serve\n'), {})


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "remora.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidFile, match="cannot be read"):
        load_settings(tmp_path, {})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("REMORA_CLOUD", "aws"),
        ("REMORA_SCALE_MAX_REPLICAS", "many"),
        ("REMORA_SERVE_MAX_RUNNING_REQUESTS", "--5"),
        ("REMORA_SERVE_STRICT", "maybe"),
    ],
)
def test_a_wrong_variable_is_named(tmp_path: Path, variable: str, value: str) -> None:
    with pytest.raises(InvalidInput, match=f"{variable}='{value}'"):
        load_settings(tmp_path, {variable: value})


def test_updating_keeps_comments_and_all_else(tmp_path: Path) -> None:
    write(tmp_path, FULL)
    update_settings(
        tmp_path, {"adapters.tone": None, "adapters.joke": "adapters/joke", "scale.max_replicas": 5}
    )
    text = (tmp_path / "remora.toml").read_text()
    assert 'cloud = "azure"  # where\n' in text
    adapters = load_settings(tmp_path, {}).adapters
    assert adapters == {"v1.2": tmp_path / "adapters/v1.2", "joke": tmp_path / "adapters/joke"}
    assert tomllib.loads(text)["scale"] == {"min_replicas": 2, "max_replicas": 5}


def test_updating_makes_the_file_and_its_sections(tmp_path: Path) -> None:
    update_settings(tmp_path, {"cloud": "azure", "adapters.v1.2": "a"})
    settings = load_settings(tmp_path, {})
    assert (settings.cloud, dict(settings.adapters)) == ("azure", {"v1.2": tmp_path / "a"})


def test_a_pipe_and_a_git_lfs_pointer_are_no_settings(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "remora.toml")
    with pytest.raises(InvalidFile, match=r"remora\.toml is a named pipe, not a file"):
        load_settings(tmp_path, {})
    (tmp_path / "remora.toml").unlink()
    with pytest.raises(InvalidFile, match="is a Git LFS pointer"):
        load_settings(write(tmp_path, "version https://git-lfs.github.com/spec/v1\n"), {})
