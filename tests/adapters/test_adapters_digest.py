"""A digest changes with the effect of an adapter and with nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from remora.adapters.digest import adapter_digest, folder_digest, scan_tensors, sha256_of_file
from remora.adapters.hash_cache import HashCache
from remora.adapters.peft.lora_tensors import parse_tensor_name
from remora.adapters.peft.module_settings import ModuleSettings
from remora.adapters.peft.tensor_file import CHUNK_BYTES, read_header
from remora.errors import InvalidFile, InvalidInput

MakeFolder = Callable[..., Path]
WEIGHTS = "adapter_model.safetensors"
LONG_AGO = 1_700_000_000


def write_safetensors(path: Path, names: list[str], metadata: dict[str, str]) -> None:
    """The bytes of a safetensors file with its tensors in the given order; the library always sorts."""
    header: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    data = b""
    for name in names:
        content = np.full((2, 2), len(name), np.float32).tobytes()
        header[name] = {
            "dtype": "F32",
            "shape": [2, 2],
            "data_offsets": [len(data), len(data) + len(content)],
        }
        data += content
    raw = json.dumps(header).encode()
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + data)


NAMES = [
    f"base_model.model.{'x' * layer}.q_proj.lora_{side}.weight" for layer in range(1, 4) for side in "AB"
]
CONFIG = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}


@settings(max_examples=40, deadline=None)
@given(
    order=st.permutations(NAMES),
    metadata=st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
    keys=st.permutations(list(CONFIG)),
    training_only=st.dictionaries(
        st.sampled_from(["lora_dropout", "inference_mode", "revision", "peft_version"]), st.integers()
    ),
)
def test_order_metadata_and_training_settings_do_not_matter(
    order: list[str], metadata: dict[str, str], keys: list[str], training_only: dict[str, int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        digests = []
        for names, extra, config in (
            (NAMES, {}, CONFIG),
            (order, metadata, {key: CONFIG[key] for key in keys} | training_only),
        ):
            write_safetensors(Path(folder) / WEIGHTS, names, extra)
            (Path(folder) / "adapter_config.json").write_text(json.dumps(config))
            digests.append(adapter_digest(Path(folder)))
    assert digests[0] == digests[1]


def test_the_digest_is_what_its_definition_says(make_adapter: MakeFolder) -> None:
    folder = make_adapter(rank=4, lora_alpha=8)
    total = hashlib.sha256(b"remora adapter 2\n")
    for name, value in sorted(load_file(folder / WEIGHTS).items()):
        content = hashlib.sha256(value.tobytes()).hexdigest()
        total.update(json.dumps([name, "F32", list(value.shape), (2.0).hex(), content]).encode() + b"\n")
    assert adapter_digest(folder) == total.hexdigest()


def test_which_tokens_the_trained_rows_belong_to_counts_and_only_where_there_are_rows(
    make_adapter: MakeFolder,
) -> None:
    def digest(tokens: list[int], **tensors: np.ndarray) -> str:
        return adapter_digest(make_adapter("tokens", tensors=lora | tensors, trainable_token_indices=tokens))

    lora = load_file(make_adapter() / WEIGHTS)
    embedding = "base_model.model.model.embed_tokens"
    rows = {f"{embedding}.token_adapter.trainable_tokens_delta": np.ones((2, 4), np.float32)}
    assert digest([3, 7], **rows) != digest([3, 8], **rows)
    assert digest([4, 7]) == digest([5, 8])


def test_a_tensor_of_many_chunks_counts_to_its_last_byte(make_adapter: MakeFolder) -> None:
    prefix = "base_model.model.model.layers.0.self_attn.q_proj"
    shape = (2, CHUNK_BYTES // 4)  # of four bytes each: two chunks
    halves = {f"{prefix}.lora_A.weight": np.zeros(shape, np.float32)}
    halves[f"{prefix}.lora_B.weight"] = np.zeros(shape[::-1], np.float32)
    empty = make_adapter("empty", targets=("self_attn.q_proj",), rank=2, tensors=halves)
    before = adapter_digest(empty)
    halves[f"{prefix}.lora_A.weight"][-1, -1] = 1
    changed = make_adapter("changed", targets=("self_attn.q_proj",), rank=2, tensors=halves)
    entries = read_header(changed / WEIGHTS)
    modules = {prefix.removeprefix("base_model.model."): ModuleSettings(2, 1.0, is_target=True)}
    scan = scan_tensors(modules, changed / WEIGHTS, entries)
    assert scan.zero == {f"{prefix}.lora_B.weight"}
    assert adapter_digest(changed) != before


def test_a_file_that_becomes_shorter_while_it_is_read_is_told(make_adapter: MakeFolder) -> None:
    weights = make_adapter() / WEIGHTS
    entries = read_header(weights)
    names = {parsed.module for entry in entries if (parsed := parse_tensor_name(entry.name))}
    modules = dict.fromkeys(names, ModuleSettings(4, 2.0, is_target=True))
    os.truncate(weights, weights.stat().st_size - 1)
    with pytest.raises(InvalidFile, match="became shorter while it was read"):
        scan_tensors(modules, weights, entries)


def test_one_bit_of_one_tensor_matters(make_adapter: MakeFolder) -> None:
    folder = make_adapter()
    before = adapter_digest(folder)
    data = bytearray((folder / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (folder / WEIGHTS).write_bytes(data)
    assert adapter_digest(folder) != before


@pytest.mark.parametrize(
    "config", [{"lora_alpha": 9}, {"use_rslora": True}, {"alpha_pattern": {"q_proj": 3}}, {"r": 8}]
)
def test_what_changes_the_scaling_matters(make_adapter: MakeFolder, config: dict[str, object]) -> None:
    assert adapter_digest(make_adapter("a")) != adapter_digest(make_adapter("b", **config))


def test_the_same_scaling_written_otherwise_is_the_same(make_adapter: MakeFolder) -> None:
    plain = make_adapter("a", lora_alpha=8)
    patterned = make_adapter("b", lora_alpha=1, alpha_pattern={"q_proj": 8.0, "v_proj": 8})
    assert adapter_digest(plain) == adapter_digest(patterned)


def test_renamed_tensors_and_other_types_matter(make_adapter: MakeFolder) -> None:
    folder = make_adapter()
    before, tensors = adapter_digest(folder), load_file(folder / WEIGHTS)
    save_file(
        {name.replace("layers.1", "layers.7"): value for name, value in tensors.items()}, folder / WEIGHTS
    )
    renamed = adapter_digest(folder)
    save_file({name: value.view(np.int32) for name, value in tensors.items()}, folder / WEIGHTS)
    assert len({before, renamed, adapter_digest(folder)}) == 3


def test_a_folder_digest_is_of_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("2")
    both = folder_digest(tmp_path, ["a", "b"])
    assert folder_digest(tmp_path, ["b", "a", "a"]) == both
    (tmp_path / "c").write_text("not listed")
    assert folder_digest(tmp_path, ["a", "b"]) == both
    (tmp_path / "a").write_text("2")
    (tmp_path / "b").write_text("1")
    assert folder_digest(tmp_path, ["a", "b"]) != both


@pytest.mark.parametrize("name", ["../a", "/etc/hosts", "a/../../b"])
def test_a_folder_digest_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match="no file below"):
        folder_digest(tmp_path, [name])


def written_long_ago(path: Path, text: str) -> Path:
    path.write_text(text)
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def eager_cache(path: Path) -> HashCache:
    """A cache that remembers files however new they are, so that no test waits for the clock."""
    return HashCache(path, settled_seconds=-3600)


def test_a_remembered_file_is_not_read_again(tmp_path: Path) -> None:
    file, store = written_long_ago(tmp_path / "model", "weights"), tmp_path / "home" / "hashes.json"
    first = eager_cache(store)
    digest = first.sha256(file)
    assert (digest, first.hashed_bytes) == (sha256_of_file(file), 7)
    first.save()
    second = eager_cache(store)
    assert (second.sha256(file), second.hashed_bytes) == (digest, 0)


def test_a_changed_file_is_read_again_even_with_its_old_time(tmp_path: Path) -> None:
    file = written_long_ago(tmp_path / "model", "weights")
    cache = eager_cache(tmp_path / "hashes.json")
    before = cache.sha256(file)
    written_long_ago(file, "weightz")
    assert cache.sha256(file) == sha256_of_file(file) != before


def test_a_file_written_just_now_is_not_remembered(tmp_path: Path) -> None:
    file = tmp_path / "model"
    file.write_text("weights")
    cache = HashCache(tmp_path / "hashes.json")
    cache.sha256(file)
    cache.sha256(file)
    assert cache.hashed_bytes == 14
    cache.save()
    assert not (tmp_path / "hashes.json").exists()


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"version": 9}', '{"version": 1, "files": {"x": 3}}'])
def test_a_damaged_cache_counts_as_empty(tmp_path: Path, damage: str) -> None:
    (tmp_path / "hashes.json").write_text(damage)
    file = written_long_ago(tmp_path / "model", "weights")
    assert HashCache(tmp_path / "hashes.json").sha256(file) == sha256_of_file(file)


def test_files_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    file, store = written_long_ago(tmp_path / "model", "weights"), tmp_path / "hashes.json"
    cache = eager_cache(store)
    cache.sha256(file)
    file.unlink()
    cache.save()
    assert json.loads(store.read_text())["files"] == {}
