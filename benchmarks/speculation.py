"""Tokens per second with guesses at what comes next, against without: one request at a time, or a few.

    python -m benchmarks.speculation FOLDER [--rounds 5] [--requests 1] [--tokens 160] [--quantize int8|nf4]
                                            [--dtype bfloat16] [--native never] [--rows 8]

FOLDER is a real base model, because random weights repeat no prompt: for instance the `base` that `make
demo-real` makes, SmolLM2-135M-Instruct. One model is loaded. Every round asks three tasks of it with guesses
and without, in turns, so that other work on the machine disturbs both alike. The first asks for a text word
for word (after an example, without which so small a model sums it up), the second for code with a change,
both greedily; the third for a story, at temperature 1 with a seed for each round. A speed is that of the
tokens after the first, so prompts are not measured. Prints the median speeds, the median of the rounds'
ratios, how many guesses were right, and in how many rounds the answers were equal: in native code, in all.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path

from remora.engine.base import GenerationRequest, SamplingParams, Tokenizer
from remora.engine.text.chat_template import HfTokenizer
from remora.engine.torch.engine import TorchEngine
from remora.engine.torch.model.checkpoint import load_model
from remora.engine.torch.model.model import SlotModel
from remora.engine.torch.own_thread import in_own_thread

MOST_REQUESTS = 16
TEXT = """The harbour of Lindau was built in 1856, when the railway came to the island. Its lighthouse is 33
metres high and has a clock, so that the captains of the steamers could see the time from the lake. On the
other side of the entrance stands a lion of stone, six metres high, who looks towards the mountains. In
summer the white ships leave every hour for Bregenz, Friedrichshafen and Konstanz, and in winter the gulls
have the piers to themselves. The fishermen sell smoked whitefish from their boats on Fridays, and whoever
comes late goes home with none."""
SHORT_TEXT = """The mill by the river was closed in 1921. Its wheel still turns in spring, when the snow
melts, and children throw sticks into it."""
CODE = """def area(width, height):
    if width < 0 or height < 0:
        raise ValueError("negative size")
    return width * height


def volume(width, height, depth):
    if depth < 0:
        raise ValueError("negative depth")
    return area(width, height) * depth
"""
REPEAT = "Repeat this text word for word, and nothing else:\n\n"
DOCUMENT = "Add a docstring to each function of this code, and answer with the whole code:\n\n"


@dataclass(frozen=True, slots=True)
class Task:
    """What is said before the answer, the user first, how tokens are chosen, and the wished ratio."""

    name: str
    turns: tuple[str, ...]
    temperature: float
    goal: float


TASKS = (
    Task("repeats a text", (REPEAT + SHORT_TEXT, SHORT_TEXT, REPEAT + TEXT), 0.0, 1.8),
    Task("changes code", (f"{DOCUMENT}```python\n{CODE}```",), 0.0, 1.8),
    Task("repeats nothing", ("Write a story about a lighthouse keeper who finds a letter.",), 1.0, 0.97),
)


@dataclass(frozen=True, slots=True)
class Run:
    """One task in one round: all its answers, and the counts of the engine."""

    answers: tuple[tuple[int, ...], ...]
    tokens_per_second: float
    steps: int
    drafted: int
    accepted: int


@dataclass(frozen=True, slots=True)
class Bench:
    """One model, and how many requests of how many tokens it answers at a time."""

    model: SlotModel
    tokenizer: Tokenizer
    request_count: int
    token_count: int

    def round(self, task: Task, number: int) -> dict[str, Run]:
        """By the word of the setting, in turns."""
        first, second = ("off", "auto") if number % 2 else ("auto", "off")
        return {word: self._run(task, number, word) for word in (first, second)}

    def _run(self, task: Task, number: int, speculation: str) -> Run:
        """With an engine of its own: two at once would disturb each other's threads."""
        engine = TorchEngine(self.model, self.tokenizer, speculation=speculation, keeps_prefixes=False)
        messages = [
            {"role": role, "content": turn}
            for role, turn in zip(cycle(("user", "assistant")), task.turns, strict=False)
        ]
        prompt = tuple(self.tokenizer.render_chat(messages))
        seeds = range(number * MOST_REQUESTS, number * MOST_REQUESTS + self.request_count)
        requests = [
            GenerationRequest(
                f"{task.name} {seed}",
                prompt,
                SamplingParams(self.token_count, task.temperature, seed=seed),
                stop_token_ids=self.tokenizer.stop_token_ids,
            )
            for seed in seeds
        ]
        try:
            answers, seconds = asyncio.run(answered(engine, requests))
            stats = engine.stats()
        finally:
            engine.close()
        later = sum(len(answer) for answer in answers) - 1
        return Run(answers, later / seconds, stats.steps or 0, stats.drafted_tokens, stats.accepted_tokens)


async def answered(
    engine: TorchEngine, requests: list[GenerationRequest]
) -> tuple[tuple[tuple[int, ...], ...], float]:
    """The answers, and the seconds from the first token to the last."""
    begun: list[float] = []

    async def answer(request: GenerationRequest) -> tuple[int, ...]:
        tokens: list[int] = []
        async for event in engine.submit(request):
            if not tokens:
                begun.append(time.perf_counter())
            tokens.append(event.token_id)
        return tuple(tokens)

    answers = await asyncio.gather(*(answer(request) for request in requests))
    return tuple(answers), time.perf_counter() - min(begun)


def report(task: Task, runs: list[dict[str, Run]]) -> None:
    speeds = {
        speculation: statistics.median(run[speculation].tokens_per_second for run in runs)
        for speculation in ("auto", "off")
    }
    ratio = statistics.median(run["auto"].tokens_per_second / run["off"].tokens_per_second for run in runs)
    guessing = [run["auto"] for run in runs]
    tokens = sum(len(answer) for run in guessing for answer in run.answers)
    steps, drafted, accepted = (
        sum(getattr(run, name) for run in guessing) for name in ("steps", "drafted", "accepted")
    )
    equal = sum(run["auto"].answers == run["off"].answers for run in runs)
    print(f"\n{task.name}: {speeds['auto']:.1f} tokens/s with guesses, {speeds['off']:.1f} without")
    print(f"  ratio {ratio:.2f}, goal {task.goal}")
    print(f"  {tokens} tokens in {steps} steps; {accepted} of {drafted} guessed tokens were right")
    print(f"  answers were equal in {equal} of {len(runs)} rounds")


def main() -> None:
    options = parsed()
    load = partial(
        load_model,
        options.folder,
        dtype=options.dtype,
        device="auto",
        max_running_requests=MOST_REQUESTS,
        quantize=options.quantize,
        native=options.native,
    )
    bench = Bench(in_own_thread(load), HfTokenizer(options.folder), options.requests, options.tokens)
    bench.model.rows_at_once = options.rows or bench.model.rows_at_once
    stack = bench.model.stack
    print(f"{stack.engine}, {stack.dtype}, {stack.device}; {options.requests} at a time")
    for task in TASKS:
        report(task, [bench.round(task, number) for number in range(options.rounds)])


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=1, help="at the same time")
    parser.add_argument("--tokens", type=int, default=160, help="of each answer, at most")
    parser.add_argument("--rows", type=int, help="of a step with guesses, at most")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--quantize", default="none", choices=("none", "int8", "nf4"))
    parser.add_argument("--native", default="auto", choices=("auto", "always", "never"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
