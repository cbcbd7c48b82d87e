"""Answers in nf4 beside those of PEFT on bitsandbytes' own layers; run by `make test-bnb`.

    python -m tests.engine.compare_bnb

A base is quantised here, and read as `save_pretrained` writes it after bitsandbytes quantised it.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from pathlib import Path

import torch
from peft import PeftModel
from tests.engine.tiny_models import (
    TinyModel,
    a_request,
    peft_warnings_ignored,
    read,
    write_model,
    write_tokenizer,
)
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from remora.adapters.adapter import Adapter
from remora.engine.torch.engine import TorchEngine

PROMPT = [7, 4, 250, 31, 31, 8]
SIZES = {"hidden_size": 128, "intermediate_size": 192, "initializer_range": 0.1}
DIVERGENCE = {"float32": 1e-4, "bfloat16": 0.01}


async def compare(kind: str, folder: Path) -> None:
    tiny = TinyModel(write_model(folder / "plain", kind, **SIZES))
    adapter = tiny.add_adapter("a", r=4, lora_alpha=16, target_modules="all-linear")
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )
    model = AutoModelForCausalLM.from_pretrained(tiny.path, quantization_config=config, device_map="cpu")
    model.save_pretrained(folder / "saved")
    write_tokenizer(folder / "saved")
    with peft_warnings_ignored():
        peft = PeftModel.from_pretrained(model, adapter.path)
    for name, dtype, native in itertools.product(("plain", "saved"), DIVERGENCE, ("never", "always")):
        quantize = "nf4" if name == "plain" else "none"
        engine = TorchEngine.load(folder / name, quantize=quantize, dtype=dtype, native=native)
        engine.load_adapter(adapter)
        for used in (None, adapter):
            divergence = await divergence_of(engine, peft, used)
            print(  # noqa: T201 - what the target shows
                f"{kind} {name} {dtype} native={native} adapter={used is not None}: KL {divergence:.1e}"
            )
            assert divergence < DIVERGENCE[dtype]
        engine.close()


async def divergence_of(engine: TorchEngine, peft: PeftModel, adapter: Adapter | None) -> float:
    events = await read(engine, a_request(PROMPT, adapter=adapter, max_tokens=12, top_logprobs=260))
    tokens = [event.token_id for event in events]
    ids = torch.tensor([[*PROMPT, *tokens]])
    with torch.inference_mode():
        if adapter is None:
            with peft.disable_adapter():
                logits = peft(input_ids=ids).logits
        else:
            logits = peft(input_ids=ids).logits
    expected = logits[0, len(PROMPT) - 1 : -1].float().log_softmax(-1)
    got = torch.empty_like(expected)
    for row, event in enumerate(events):
        shown, logprobs = zip(*event.top_logprobs, strict=True)
        got[row, list(shown)] = torch.tensor(logprobs)
    return float((expected.exp() * (expected - got)).sum(-1).mean())


if __name__ == "__main__":
    for each in ("llama", "phi3"):
        with tempfile.TemporaryDirectory() as made:
            asyncio.run(compare(each, Path(made)))
