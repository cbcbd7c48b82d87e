"""Weights on disk: the base folder and the adapter folders. Knows nothing of learning.

Weights are safetensors only, and no file names a path of the machine that wrote it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from recipe.models import BASE_NAME

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerFast


def save_base(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write a folder that `AutoModelForCausalLM` and `AutoTokenizer` load offline."""
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # transformers 5 writes a class name that earlier releases, still found in servers, do not know.
    rewrite_json(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")


def save_adapter(model: PeftModel, folder: Path) -> None:
    """Write an adapter as PEFT does, without its empty model card and with the base called by its name."""
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    modules = sorted(model.peft_config["default"].target_modules)  # a set: its order changes from run to run
    config = folder / "adapter_config.json"
    rewrite_json(config, base_model_name_or_path=BASE_NAME, target_modules=modules)


def rewrite_json(path: Path, **changes: object) -> None:
    """Change some values of a JSON object and keep the others."""
    content = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
