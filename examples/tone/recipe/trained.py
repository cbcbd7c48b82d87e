"""The trained models, read back from the project folder, and what they answer. Trains and scores nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from recipe.models import ADAPTERS, BASE_NAME

PROMPTS_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered, and the smallest lead of a chosen token over the runner-up, in logits.

    A large lead means that another machine, which rounds differently, gives the same answer.
    """

    text: str
    smallest_lead: float


class TrainedModels:
    """Base and adapters as anybody loads them: transformers for the base, PEFT for the adapters."""

    def __init__(self, project: Path) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(project / "base", local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(
            project / "base", local_files_only=True, dtype=torch.float32
        )
        for name in ADAPTERS:
            folder = project / "adapters" / name
            if isinstance(model, PeftModel):
                model.load_adapter(str(folder), adapter_name=name)
            else:
                model = PeftModel.from_pretrained(model, str(folder), adapter_name=name)
        self._model = model.eval()

    @torch.inference_mode()
    def answer(self, model: str, prompts: Sequence[str], max_tokens: int) -> list[Answer]:
        """The greedy answer of `model` (base or adapter, by name) to each prompt, as an endpoint gives it."""
        ids = [self._prompt_ids(prompt) for prompt in prompts]
        answers: dict[int, Answer] = {}
        with self._using(model):
            for numbers in equally_long(ids):
                batch = torch.tensor([ids[number] for number in numbers])
                answers.update(zip(numbers, self._generate(batch, max_tokens), strict=True))
        return [answers[number] for number in range(len(prompts))]

    def _using(self, model: str) -> AbstractContextManager[Any]:
        if model == BASE_NAME:
            adapter_off: AbstractContextManager[Any] = self._model.disable_adapter()
            return adapter_off
        self._model.set_adapter(model)
        return nullcontext()

    def _prompt_ids(self, prompt: str) -> list[int]:
        messages = [{"role": "user", "content": prompt}]
        text = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _generate(self, batch: torch.Tensor, max_tokens: int) -> Iterator[Answer]:
        generated = self._model.generate(
            input_ids=batch,
            attention_mask=torch.ones_like(batch),
            max_new_tokens=max_tokens,
            do_sample=False,
            return_dict_in_generate=True,
            output_logits=True,
        )
        best = torch.stack(generated.logits, dim=1).topk(2).values
        leads = best[..., 0] - best[..., 1]
        end = self._tokenizer.eos_token_id
        for row, ids in enumerate(generated.sequences[:, batch.shape[1] :].tolist()):
            length = ids.index(end) + 1 if end in ids else len(ids)
            text = self._tokenizer.decode(ids[:length], skip_special_tokens=True)
            yield Answer(text, leads[row, :length].min().item())


def equally_long(prompts: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Numbers of prompts of one length: side by side they need no padding, so no answer depends on it."""
    by_length: dict[int, list[int]] = defaultdict(list)
    for number, ids in enumerate(prompts):
        by_length[len(ids)].append(number)
    for numbers in by_length.values():
        for start in range(0, len(numbers), PROMPTS_AT_ONCE):
            yield numbers[start : start + PROMPTS_AT_ONCE]
