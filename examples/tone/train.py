"""Makes this example from nothing: tokenizer, base model, two adapters, scores, golden prompts.

    python train.py                      # everything, some minutes on two CPU cores
    python train.py --quick --out DIR    # a few steps of each, to see that the machinery turns

The same seed gives the same weights on the same kind of machine: training always uses two threads.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from peft import get_peft_model
from recipe import golden
from recipe.conversations import Conversation, Conversations
from recipe.learning import Encoder, Schedule, learn
from recipe.models import ADAPTERS, CONTEXT_LENGTH, new_base
from recipe.scoring import score
from recipe.tokenizer import train_tokenizer
from recipe.trained import TrainedModels
from recipe.weights import save_adapter, save_base
from transformers import PreTrainedModel

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything, on how many threads."""

    threads: int
    base: Schedule
    adapters: dict[str, Schedule]
    scored_phrases_per_tone: int


FULL = Plan(
    threads=2,
    base=Schedule(steps=1300, tokens_per_step=2048, peak_learning_rate=3e-3, weight_decay=0.01),
    adapters={
        "tone": Schedule(steps=250, tokens_per_step=1024, peak_learning_rate=1e-2),
        "pirate": Schedule(steps=300, tokens_per_step=2048, peak_learning_rate=5e-3),
    },
    scored_phrases_per_tone=60,
)
QUICK = Plan(
    threads=1,
    base=Schedule(steps=4, tokens_per_step=256, peak_learning_rate=1e-3),
    adapters={name: Schedule(steps=2, tokens_per_step=256, peak_learning_rate=1e-3) for name in ADAPTERS},
    scored_phrases_per_tone=1,
)


def main() -> None:
    arguments = parse_arguments()
    plan = QUICK if arguments.quick else FULL
    torch.set_num_threads(plan.threads)
    torch.use_deterministic_algorithms(True)
    started = time.monotonic()
    make(plan, arguments.seed, arguments.out)
    print(f"finished after {(time.monotonic() - started) / 60:.1f} minutes")


def make(plan: Plan, seed: int, out: Path) -> None:
    """Train and write everything, then read it back, score it and record the golden prompts."""
    conversations = Conversations(HERE / "text")
    tokenizer = train_tokenizer(conversations, seed, CONTEXT_LENGTH)
    encoder = Encoder(tokenizer)

    torch.manual_seed(seed)
    base = new_base(tokenizer)
    train("base", base, conversations.for_base(Random(seed)), encoder, plan.base)
    save_base(base, tokenizer, out / "base")

    lessons = {"tone": conversations.for_tone(Random(seed)), "pirate": conversations.for_pirate(Random(seed))}
    for name, config in ADAPTERS.items():
        torch.manual_seed(seed)
        adapted = get_peft_model(base, config)
        train(name, adapted, lessons[name], encoder, plan.adapters[name])
        save_adapter(adapted, out / "adapters" / name)
        base = adapted.unload()

    models = TrainedModels(out)
    golden.record(models, out / "golden.toml")
    for line in score(models, conversations, plan.scored_phrases_per_tone):
        print(line)


def train(
    name: str,
    model: PreTrainedModel,
    conversations: Iterator[Conversation],
    encoder: Encoder,
    schedule: Schedule,
) -> None:
    learn(name, model, map(encoder.encode, conversations), schedule, Random(schedule.steps))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make the tone example from nothing.")
    parser.add_argument(
        "--out", type=Path, default=HERE, help="folder that gets base/, adapters/ and golden.toml"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--quick", action="store_true", help="a few steps only, to try the machinery (needs --out)"
    )
    arguments = parser.parse_args()
    if arguments.quick and arguments.out == HERE:
        parser.error("--quick makes models that know nothing: say with --out DIR where to put them")
    return arguments


if __name__ == "__main__":
    main()
