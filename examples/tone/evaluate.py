"""Scores the trained adapters again on held-out phrases; `--phrases-per-tone 10` takes a sample."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from recipe.conversations import Conversations
from recipe.scoring import score
from recipe.trained import TrainedModels

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description="Score the adapters of the tone example.")
    parser.add_argument("--project", type=Path, default=HERE, help="folder with base/ and adapters/")
    parser.add_argument("--phrases-per-tone", type=int, default=60)
    parser.add_argument("--json", action="store_true", help="print one JSON array")
    arguments = parser.parse_args()
    scores = score(TrainedModels(arguments.project), Conversations(HERE / "text"), arguments.phrases_per_tone)
    if arguments.json:
        print(json.dumps([asdict(one) for one in scores]))
        return
    for one in scores:
        print(one)


if __name__ == "__main__":
    main()
