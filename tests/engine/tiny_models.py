"""Tiny random models, real PEFT adapters on them, and PEFT's own answers to compare with."""

from __future__ import annotations

import asyncio
import os
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from remora.adapters.adapter import Adapter, LoraModule
from remora.adapters.peft.inspect import inspect_adapter
from remora.engine.base import Constraint, Engine, GenerationRequest, SamplingParams, TokenEvent
from remora.engine.torch.layers.own_attention import exchange_attention
from remora.engine.torch.model.lora_manager import LoraSet
from remora.engine.torch.model.model import SlotModel
from remora.engine.torch.native.choice import NativeChoice
from remora.engine.torch.scheduling.scheduler import Chunk

torch.set_num_threads(1)

DEVICE = os.environ.get("REMORA_TEST_DEVICE", "cpu")  # where the engines of these tests compute
NATIVE = os.environ.get("REMORA_TEST_NATIVE", "auto")  # always: every test that can, in native code
CHAT_TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}"
    "<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL_TOKENS = ["<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]
SIZES: dict[str, Any] = {
    "vocab_size": 260,
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.3,  # wide, so that greedy answers wander
    "bos_token_id": None,
    "eos_token_id": 256,
    "pad_token_id": 256,
    "dtype": "float32",
}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": {"head_dim": 16},
    "mistral": {"sliding_window": 9},
    "phi3": {"original_max_position_embeddings": 256},
    "gemma3_text": {
        "head_dim": 16,
        "sliding_window": 9,
        "layer_types": ["sliding_attention", "full_attention"],
    },
}


def write_model(folder: Path, architecture: str, **overrides: Any) -> Path:
    """A base model with random weights, and a byte-level tokenizer, as `save_pretrained` writes them."""
    torch.manual_seed(7)
    config = AutoConfig.for_model(architecture, **(SIZES | ARCHITECTURES.get(architecture, {}) | overrides))
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    write_tokenizer(folder, chat_template=CHAT_TEMPLATE)
    return folder


def write_tokenizer(folder: Path, *, chat_template: str | dict[str, str] | None = None) -> Path:
    """256 byte tokens, then the special ones."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({byte: index for index, byte in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=SPECIAL_TOKENS[0],
        additional_special_tokens=SPECIAL_TOKENS[1:],
        chat_template=chat_template,
    )
    fast.save_pretrained(folder)
    return folder


@dataclass(frozen=True)
class TinyModel:
    """A base model folder and the adapters that were made on it."""

    path: Path
    adapters: dict[str, Adapter] = field(default_factory=dict)

    def add_adapter(self, name: str, **lora: Any) -> Adapter:
        """A PEFT adapter with random A and B, as `save_pretrained` writes it."""
        torch.manual_seed(len(self.adapters) + 1)
        base = AutoModelForCausalLM.from_pretrained(self.path, dtype=torch.float32)
        with peft_warnings_ignored():
            peft_model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **lora))
        for key, parameter in peft_model.named_parameters():
            if "lora_B" in key:
                torch.nn.init.normal_(parameter, std=0.2)
        folder = self.path.parent / "adapters" / name
        peft_model.save_pretrained(folder, save_embedding_layers=False)
        self.adapters[name] = inspect_adapter(name, folder, None)
        assert set(self.adapters[name].modules) == set(_modules_of(peft_model))
        return self.adapters[name]

    def reference(
        self,
        adapter: str | None,
        prompt: Sequence[int],
        count: int,
        *,
        scale: float = 1.0,
        without_layer: int | None = None,
    ) -> list[int]:
        """What `generate` of transformers and PEFT answers, alone and greedy."""
        model = self.peft_model(adapter, scale, without_layer)
        ids = torch.tensor([list(prompt)])
        answer = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=count,
            eos_token_id=None,
            pad_token_id=0,
        )
        tokens: list[int] = answer[0, len(prompt) :].tolist()
        return tokens

    def logprobs(self, adapter: str | None, prompt: Sequence[int], answer: Sequence[int]) -> torch.Tensor:
        """PEFT's log-probabilities (answer tokens, vocabulary) at each token of an answer, in float32."""
        ids = torch.tensor([[*prompt, *answer]])
        with torch.inference_mode():
            logits: torch.Tensor = self.peft_model(adapter)(input_ids=ids).logits
        return logits[0, len(prompt) - 1 : -1].log_softmax(-1)

    def peft_model(self, adapter: str | None, scale: float = 1.0, without_layer: int | None = None) -> Any:
        """The model as transformers and PEFT run it, the adapter's scaling multiplied by `scale`.

        In one layer it can be 0.
        """
        model = AutoModelForCausalLM.from_pretrained(self.path, dtype=torch.float32)
        if adapter is None:
            return model
        with peft_warnings_ignored():
            peft_model = PeftModel.from_pretrained(model, self.adapters[adapter].path)
        for name, module in peft_model.named_modules():
            if isinstance(module, LoraLayer):
                module.scaling["default"] *= 0 if f".layers.{without_layer}." in name else scale
        return peft_model


@contextmanager
def peft_warnings_ignored() -> Iterator[None]:
    """PEFT uses names that transformers is about to drop."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _modules_of(peft_model: Any) -> tuple[LoraModule, ...]:
    """Ranks and scalings as PEFT itself resolved them."""
    return tuple(
        LoraModule(
            name=key.removeprefix("base_model.model."),
            rank=module.r["default"],
            scaling=module.scaling["default"],
            in_features=module.in_features,
            out_features=module.out_features,
            tensors=(f"{key}.lora_A.weight", f"{key}.lora_B.weight"),
        )
        for key, module in peft_model.named_modules()
        if isinstance(module, LoraLayer)
    )


class GatedModel(SlotModel):
    """Does a step only when it is let, and remembers which requests were in each."""

    def __init__(self, path: Path, *, cache_tokens: int = 4096, native: str = NATIVE) -> None:
        model = AutoModelForCausalLM.from_pretrained(path, attn_implementation="eager").to(DEVICE)
        exchange_attention(model)
        with NativeChoice(native, model.config, model.device, quantize="none") as choice:
            lora = LoraSet(model, library=choice.library(model.dtype))
        super().__init__(model, lora, cache_tokens=cache_tokens, context_length=256)
        self.steps: list[list[str]] = []
        self._permits = threading.Semaphore(0)

    def let(self, steps: int) -> None:
        self._permits.release(steps)

    def forward(self, chunks: Sequence[Chunk]) -> torch.Tensor:
        self.steps.append([chunk.sequence.request.request_id for chunk in chunks])
        assert self._permits.acquire(timeout=300)
        return super().forward(chunks)


class OpenModel(GatedModel):
    """Waits for nothing; one model for several engines, one after the other."""

    def __init__(self, path: Path, *, cache_tokens: int = 4096, native: str = NATIVE) -> None:
        super().__init__(path, cache_tokens=cache_tokens, native=native)
        self.let(1_000_000)


def a_request(
    prompt: Sequence[int] = (1, 2, 3),
    *,
    request_id: str = "test",
    adapter: Adapter | None = None,
    max_tokens: int = 8,
    stop_token_ids: frozenset[int] = frozenset(),
    temperature: float = 0,
    adapter_scale: float = 1.0,
    adapter_without_layer: int | None = None,
    constraint: Constraint | None = None,
    **sampling: Any,
) -> GenerationRequest:
    return GenerationRequest(
        request_id=request_id,
        prompt_ids=tuple(prompt),
        sampling=SamplingParams(max_tokens=max_tokens, temperature=temperature, **sampling),
        adapter=None if adapter is None else adapter.digest,
        stop_token_ids=stop_token_ids,
        adapter_scale=adapter_scale,
        adapter_without_layer=adapter_without_layer,
        constraint=constraint,
    )


async def read(engine: Engine, request: GenerationRequest) -> list[TokenEvent]:
    return [event async for event in engine.submit(request)]


async def answer(engine: Engine, request: GenerationRequest) -> list[int]:
    return [event.token_id for event in await read(engine, request)]


async def until(condition: Callable[[], bool], *, poll_seconds: float = 0.001) -> None:
    """Let the engine's thread go on until it is so."""
    async with asyncio.timeout(120):
        while not condition():  # noqa: ASYNC110 - the other side is a thread
            await asyncio.sleep(poll_seconds)
