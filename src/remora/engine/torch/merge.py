"""A program of its own: a base model with PEFT's adapter computed into its weights. Run as a child; imported
by nothing.

Reads safetensors alone, runs no code of the model's and fetches nothing. What the merged model answers is
compared with what base and adapter answer before it is written. Says each step in a line of its own.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

ALLOWED_ERROR_SHARE = 1e-3  # of the logits, in float32
ALLOWED_ERROR_SHARE_ROUNDED = 0.1
PROBE_TOKENS = 24
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt", "added_tokens.json")
TEXT_FILES = (*TOKENIZER_FILES, "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
WEIGHTS_FILE = "adapter_model.safetensors"


@torch.inference_mode()
def merge(base: Path, adapter: Path, out: Path) -> None:
    """Write the merged checkpoint into a folder that does not exist yet. Raises what stands in the way."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    _say("reading the base model")
    model = AutoModelForCausalLM.from_pretrained(
        base, dtype="auto", use_safetensors=True, local_files_only=True, trust_remote_code=False
    )
    count = _token_count(adapter)
    if count not in (None, model.get_input_embeddings().weight.shape[0]):
        model.resize_token_embeddings(count, mean_resizing=False)
    _say("applying the adapter")
    applied = PeftModel.from_pretrained(model, str(adapter), is_trainable=False).eval()
    expected = _answers(applied)
    if not hasattr(applied, "merge_and_unload"):
        raise TypeError(f"PEFT merges no {applied.peft_config['default'].peft_type.value}")
    _say("computing it into the weights")
    merged = applied.merge_and_unload(safe_merge=True)
    difference = float((_answers(merged) - expected).norm() / expected.norm())
    exact = merged.dtype == torch.float32
    if not difference <= (ALLOWED_ERROR_SHARE if exact else ALLOWED_ERROR_SHARE_ROUNDED):
        raise ValueError(f"the merged model answers otherwise: its logits differ by {difference:.1%}")
    _say(f"writing it: its logits differ by {difference:.1e} from those of base and adapter")
    merged.save_pretrained(out, safe_serialization=True)
    owner = adapter if any((adapter / name).is_file() for name in TOKENIZER_FILES) else base
    for name in TEXT_FILES:
        if (owner / name).is_file():
            (out / name).write_bytes((owner / name).read_bytes())


def _answers(model: Any) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    count = model.get_input_embeddings().weight.shape[0]
    ids = torch.randint(count, (1, PROBE_TOKENS), generator=generator)
    logits: torch.Tensor = model(input_ids=ids, use_cache=False).logits[0].float()
    return logits


def _token_count(adapter: Path) -> int | None:
    """How many tokens the adapter's own embedding is for, where it brings one."""
    with safe_open(adapter / WEIGHTS_FILE, "pt") as file:
        names = [name for name in file.keys() if ".embed_tokens." in name and name.endswith(".weight")]  # noqa: SIM118
        return int(file.get_slice(names[0]).get_shape()[0]) if names else None


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - what the parent reads


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    try:
        merge(*map(Path, sys.argv[1:4]))
    except ImportError as error:
        sys.exit(f"{error}; run: pip install peft")
    except Exception as error:  # whatever a model or an adapter of anybody's makes of it, in one line
        sys.exit(" ".join(f"{type(error).__name__}: {error}".split())[:300])
