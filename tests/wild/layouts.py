"""Folders as trainers and the hub leave them, with weights of the smallest model: what lies where, and how
`base_model_name_or_path` is spelled. Each function lays out one and returns the project's folder."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file
from tests.cli.trained_folder import make_adapter, make_base

LLAMA = "meta-llama/Llama-3.2-1B-Instruct"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def adapter_at(folder: Path, base: str) -> Path:
    """An adapter in exactly this folder."""
    made = make_adapter(folder.parent / f".made-{folder.name}", "x", base=base)
    shutil.copytree(made, folder, dirs_exist_ok=True)
    shutil.rmtree(folder.parent / f".made-{folder.name}")
    return folder


def state_at(folder: Path, step: int) -> None:
    history = [{"step": 1, "loss": 3.5}, {"step": step, "loss": 0.25, "epoch": 2.0}]
    document = {"global_step": step, "epoch": 2.0, "log_history": history}
    (folder / "trainer_state.json").write_text(json.dumps(document))


def checkpoints_at(out: Path, base: str, *steps: int) -> None:
    for step in steps:
        state_at(adapter_at(out / f"checkpoint-{step}", base), step)


def cached(home: Path, hub_id: str) -> Path:
    """A whole model in the hub's cache: snapshots of links to blobs, as huggingface_hub makes them."""
    repository = home / "hub" / f"models--{hub_id.replace('/', '--')}"
    made = make_base(home / ".made")
    (repository / "blobs").mkdir(parents=True)
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    for number, file in enumerate(sorted(made.iterdir())):
        shutil.copyfile(file, repository / "blobs" / f"{number:064x}")
        (snapshot / file.name).symlink_to(f"../../blobs/{number:064x}")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    shutil.rmtree(home / ".made")
    return snapshot


def trl(place: Path) -> Path:
    make_base(place, "Llama-3.2-1B-Instruct")
    out = adapter_at(place / "out", LLAMA)
    (out / "README.md").write_text("---\nlibrary_name: peft\ntags:\n- trl\n- sft\n---\n- TRL: 0.24.0\n")
    checkpoints_at(out, LLAMA, 100, 200)
    return place


def trl_without_a_final_adapter(place: Path) -> Path:
    make_base(place, "Llama-3.2-1B-Instruct")
    checkpoints_at(place / "out", LLAMA, 100, 200)
    return place


def unsloth_16_bit(place: Path) -> Path:
    make_base(place, LLAMA)
    adapter_at(place / "lora_model", "unsloth/llama-3.2-1b-instruct")
    return place


def unsloth_4_bit(place: Path) -> Path:
    make_base(place, LLAMA)
    adapter_at(place / "lora_model", "unsloth/llama-3.2-1b-instruct-unsloth-bnb-4bit")
    return place


def axolotl(place: Path) -> Path:
    make_base(place, "Llama-3.2-1B-Instruct")
    adapter_at(place / "outputs" / "lora-out", "./Llama-3.2-1B-Instruct")
    checkpoints_at(place / "outputs" / "lora-out", "./Llama-3.2-1B-Instruct", 40)
    return place


def llama_factory(place: Path) -> Path:
    """Run from the folder above `saves`, with the model's folder as it was given there."""
    make_base(place, "models/llama3.2")
    out = adapter_at(place / "saves" / "llama3.2-1b" / "lora" / "sft", "models/llama3.2")
    state_at(out, 300)
    return place


def olive(place: Path) -> Path:
    """`olive finetune`: the adapter in a folder of its own, below a description of the pair."""
    make_base(place, "Llama-3.2-1B-Instruct")
    adapter_at(place / "models" / "llama-lora" / "model" / "adapter", LLAMA)
    config = {"type": "HfModel", "config": {"model_path": LLAMA, "adapter_path": "model/adapter"}}
    (place / "models" / "llama-lora" / "model_config.json").write_text(json.dumps(config))
    return place


def torchtune(place: Path) -> Path:
    """An epoch's folder has the adapter in PEFT's format, merged weights, and the base's other files."""
    base = make_base(place, "Llama-3.2-1B-Instruct")
    epoch = adapter_at(place / "out" / "epoch_0", LLAMA)
    for file in base.iterdir():
        merged = file.name == "model.safetensors"
        shutil.copyfile(file, epoch / ("model-00001-of-00001.safetensors" if merged else file.name))
    return place


def tokenizer_with_the_adapter_only(place: Path) -> Path:
    base = make_base(place, "Llama-3.2-1B-Instruct")
    adapter = adapter_at(place / "out", LLAMA)
    for file in [*base.glob("tokenizer*"), *base.glob("special_tokens*"), *base.glob("*.jinja")]:
        shutil.move(file, adapter / file.name)
    return place


def mlx(place: Path) -> Path:
    make_base(place, "Llama-3.2-1B-Instruct")
    adapter = adapter_at(place / "adapters", LLAMA)
    (adapter / "adapter_model.safetensors").rename(adapter / "adapters.safetensors")
    config = {"fine_tune_type": "lora", "num_layers": 16, "model": LLAMA, "lora_parameters": {"rank": 8}}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    return place


def hub_download(place: Path) -> Path:
    """`hf download --local-dir`, for both; it leaves notes of its own in `.cache`."""
    make_base(place, "Llama-3.2-1B-Instruct")
    adapter = adapter_at(place / "my-lora", LLAMA)
    for folder in (place / "Llama-3.2-1B-Instruct", adapter):
        (folder / ".cache" / "huggingface").mkdir(parents=True)
        (folder / ".gitattributes").write_text("*.safetensors filter=lfs\n")
    return place


def hub_cache_only(place: Path) -> Path:
    cached(Path(os.environ["HF_HOME"]), LLAMA)
    adapter_at(place / "project" / "lora", LLAMA)
    return place / "project"


def hub_cache_of_the_original(place: Path) -> Path:
    cached(Path(os.environ["HF_HOME"]), LLAMA)
    adapter_at(place / "project" / "lora", "unsloth/Llama-3.2-1B-Instruct-bnb-4bit")
    return place / "project"


def base_beside(place: Path) -> Path:
    make_base(place, "Llama-3.2-1B-Instruct")
    adapter_at(place / "project" / "lora", LLAMA)
    return place / "project"


def base_by_a_relative_path(place: Path) -> Path:
    make_base(place, "elsewhere/llama")
    adapter_at(place / "project" / "lora", "../elsewhere/llama")
    return place / "project"


def base_by_an_absolute_path(place: Path) -> Path:
    base = make_base(place, "far/away/llama")
    adapter_at(place / "project" / "lora", str(base))
    return place / "project"


def symlinked_base_that_the_adapter_names(place: Path) -> Path:
    base = make_base(place, "far/away/llama")
    adapter_at(place / "project" / "lora", "base")
    (place / "project" / "base").symlink_to(base)
    return place / "project"


def sharded_base(place: Path) -> Path:
    base = make_base(place, "Llama-3.2-1B-Instruct")
    (base / "model.safetensors").rename(base / "model-00001-of-00001.safetensors")
    tensors = load_file(base / "model-00001-of-00001.safetensors")
    index = {"weight_map": dict.fromkeys(tensors, "model-00001-of-00001.safetensors")}
    (base / "model.safetensors.index.json").write_text(json.dumps(index))
    adapter_at(place / "lora", LLAMA)
    return place


def windows_path_below(place: Path) -> Path:
    make_base(place, "Llama-3.2-1B-Instruct")
    adapter_at(place / "lora", r"C:\Users\me\models\Llama-3.2-1B-Instruct")
    return place


def windows_relative_path(place: Path) -> Path:
    make_base(place, "models/llama")
    adapter_at(place / "project" / "lora", r"..\models\llama")
    return place / "project"


def pickled(place: Path) -> Path:
    make_base(place, "Llama-3.2-1B-Instruct")
    adapter = adapter_at(place / "lora", LLAMA)
    weights = adapter / "adapter_model.safetensors"
    torch.save(load_file(weights), adapter / "adapter_model.bin")
    weights.unlink()
    return place


def symlinked_base(place: Path) -> Path:
    base = make_base(place, "far/away/Llama-3.2-1B-Instruct")
    adapter_at(place / "project" / "lora", LLAMA)
    (place / "project" / "base").symlink_to(base)
    return place / "project"


BELOW = "it lies in the project"
NAMED = "names the folder"
ACCEPTED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "TRL, with a final adapter": (trl, BELOW),
    "TRL, checkpoints alone": (trl_without_a_final_adapter, BELOW),
    "Unsloth, 16-bit name": (unsloth_16_bit, BELOW),
    "Unsloth, bnb-4bit name": (unsloth_4_bit, BELOW),
    "Axolotl": (axolotl, NAMED),
    "LLaMA-Factory": (llama_factory, NAMED),
    "Olive": (olive, BELOW),
    "torchtune, an epoch with merged weights": (torchtune, BELOW),
    "downloaded from the hub with --local-dir": (hub_download, BELOW),
    "base in the Hugging Face cache": (hub_cache_only, "Hugging Face cache"),
    "original of a 4-bit name in the cache": (hub_cache_of_the_original, "Hugging Face cache"),
    "base beside the project": (base_beside, "beside the project"),
    "base by a path with `../`": (base_by_a_relative_path, NAMED),
    "base by an absolute path": (base_by_an_absolute_path, NAMED),
    "link to the base, named by the adapter": (symlinked_base_that_the_adapter_names, NAMED),
    "base in shards": (sharded_base, BELOW),
    "absolute Windows path": (windows_path_below, BELOW),
    "relative Windows path": (windows_relative_path, NAMED),
}
"""Layouts that `remora init` accepts as they are, and what it says of the base."""
REFUSED: dict[str, Callable[[Path], Path]] = {
    "`adapter_model.bin`": pickled,
    "link to the base that nobody names": symlinked_base,
}
"""Layouts that it refuses with one command, after which it accepts them."""
OTHER_TOOLS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "tokenizer with the adapter only": (tokenizer_with_the_adapter_only, "copy the adapter's tokenizer"),
    "MLX (mlx-lm)": (mlx, "`mlx_lm.fuse`"),
}
"""Layouts that it refuses with the command of another tool."""
