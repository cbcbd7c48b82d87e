"""A mounted share with a base model and adapters, as a sync leaves it; its aliases change by a rename."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tests.cli.trained_folder import HIDDEN, MODULE, make_base

from remora.adapters.adapter import Digest
from remora.adapters.aliases import AliasSet
from remora.adapters.digest import adapter_digest
from remora.adapters.shared import SharedModels, open_share
from remora.adapters.store import (
    ALIASES,
    RELEASE_FILE,
    Release,
    adapter_folder,
    model_folder,
    release_folder,
)

BASE_DIGEST = Digest("5" * 64)
RELEASE = "r1"


class SharedFolder:
    """Owns one share's folder; `aliases` is what its `aliases.json` says."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.aliases = AliasSet()
        make_base(root, str(model_folder(BASE_DIGEST)))
        folder = root / release_folder(RELEASE)
        folder.mkdir(parents=True)
        release = Release("tone-base", (), BASE_DIGEST, serve={})
        (folder / RELEASE_FILE).write_bytes(release.to_json())

    def models(self, alias_set: str = "") -> SharedModels:
        return open_share(self.root, RELEASE, alias_set)

    def put(self, name: str, value: float, *, width: int = HIDDEN) -> Digest:
        """A folder with an adapter whose B is all this value."""
        work = self.root / "work"
        make_lora(work, value, width=width)
        digest = adapter_digest(work)
        target = self.root / adapter_folder(name, digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        work.rename(target)
        return digest

    def say(self, aliases: AliasSet) -> None:
        self.aliases = aliases
        path = self.root / ALIASES
        temporary = path.with_suffix(".new")
        temporary.write_bytes(aliases.encode())
        temporary.replace(path)


def make_lora(folder: Path, value: float, *, width: int = HIDDEN) -> None:
    """What PEFT would write for the one module of `make_base`."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "peft_type": "LORA",
        "r": 2,
        "lora_alpha": 4,
        "target_modules": ["q_proj"],
        "base_model_name_or_path": "tone-base",
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    tensors = {
        f"base_model.model.{MODULE}.lora_A.weight": np.ones((2, width), np.float32),
        f"base_model.model.{MODULE}.lora_B.weight": np.full((width, 2), value, np.float32),
    }
    save_file(tensors, folder / "adapter_model.safetensors")
