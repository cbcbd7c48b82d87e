"""`python -m tests.clients.harness_run [PROJECT]`: lm-evaluation-harness on what is served, and on its own.

A task in the form of arc_easy, of our own, so that no data set is fetched. The code of `remora eval --tasks`
asks the served base and adapters, in float32; the harness' backend `hf` loads the same folders, with PEFT.
Both must come to the same scores, digit by digit. It runs in `.venv-clients/apart/lm-eval`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.clients.installed import ENVIRONMENT
from tests.clients.matrix import SECONDS

PYTHON = ENVIRONMENT / "apart" / "lm-eval" / "bin" / "python"
KEY = "a-key-for-the-harness"
OPPOSITES = (
    *("hot cold", "up down", "day night", "old new", "big small", "open closed", "fast slow", "rich poor"),
    *("light dark", "early late", "hard soft", "loud quiet", "wet dry", "full empty", "near far", "good bad"),
)
CHOICES = 4
TASK = """
task: remora_opposites
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
output_type: multiple_choice
test_split: test
doc_to_text: "Question: {{{{question}}}}\\nAnswer:"
doc_to_target: "{{{{choices.label.index(answerKey)}}}}"
doc_to_choice: "{{{{choices.text}}}}"
metric_list: [{{metric: acc}}, {{metric: acc_norm}}]
"""
PROGRAM = """
import json, os, sys
from pathlib import Path
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager
from remora.rollout.evaluation.harness import Tasks, harness_metrics, metrics_of
tasks = Tasks(["remora_opposites"], Path.cwd())
scores = {}
for name, pretrained, adapter in json.loads(sys.argv[1]):
    served = harness_metrics(os.environ["URL"], os.environ["KEY"], name, tasks)
    own = {"pretrained": pretrained, "dtype": "float32", "device": "cpu"}
    own |= {"peft": adapter} if adapter else {}
    known = TaskManager(include_path=str(tasks.folder))
    found = simple_evaluate(model="hf", model_args=own, tasks=tasks.names, task_manager=known)
    both = (served, metrics_of(found["results"]))
    scores[name] = [[(each.name, each.value) for each in metrics] for metrics in both]
print("SCORES " + json.dumps(scores))
"""


def main() -> int:
    project = Path(sys.argv[1] if len(sys.argv) > 1 else "examples/tone").absolute()
    with tempfile.TemporaryDirectory() as place, served(project, Path(place)) as url:
        write_task(Path(place))
        done = subprocess.run(
            [str(PYTHON), "-c", PROGRAM, json.dumps(models_of(project))],
            cwd=place,
            env={**os.environ, "URL": url, "KEY": KEY, "HF_HUB_OFFLINE": "1", "HF_HOME": place},
            capture_output=True,
            text=True,
            timeout=2 * SECONDS,
            check=False,
        )
    lines = [line for line in done.stdout.splitlines() if line.startswith("SCORES ")]
    if not lines:
        sys.stdout.write(f"lm-eval: fails: {done.stderr[-3000:]}\n")
        return 1
    scores = json.loads(lines[-1].removeprefix("SCORES "))
    for name, (served_scores, own_scores) in scores.items():
        same = "the same" if served_scores == own_scores else "NOT the same"
        sys.stdout.write(f"lm-eval, {name}: served {served_scores}, hf {own_scores}: {same}\n")
    return 0 if all(first == second for first, second in scores.values()) else 1


def write_task(folder: Path) -> None:
    pairs = [pair.split() for pair in OPPOSITES]
    documents = []
    for number, (word, opposite) in enumerate(pairs):
        place = number % CHOICES
        texts = [pairs[(number + step) % len(pairs)][1] for step in range(1, CHOICES)]
        texts.insert(place, opposite)
        labels = "ABCD"
        documents.append(
            {
                "question": f"What is the opposite of {word}?",
                "choices": {"text": texts, "label": list(labels)},
                "answerKey": labels[place],
            }
        )
    file = folder / "opposites.jsonl"
    file.write_text("".join(f"{json.dumps(each)}\n" for each in documents))
    (folder / "opposites.yaml").write_text(TASK.format(file=file))


def models_of(project: Path) -> list[tuple[str, str, str]]:
    """Name, folder of the base, folder of the adapter ("" for the base alone)."""
    settings = tomllib.loads((project / "remora.toml").read_text("utf-8"))
    base = str(project / settings["model"]["base"])
    adapters = settings["adapters"].items()
    return [
        (settings["model"]["name"], base, ""),
        *((name, base, str(project / folder)) for name, folder in adapters),
    ]


@contextmanager
def served(project: Path, folder: Path) -> Iterator[str]:
    """`remora serve` in float32; its URL, once it answers."""
    keys = folder / "keys"
    keys.write_text(f"harness:{KEY}\n")
    keys.chmod(0o600)
    command = [sys.executable, "-m", "remora", "serve", str(project), "--port", "0", "--dtype", "float32"]
    with subprocess.Popen(
        [*command, "--api-key-file", str(keys)],
        env={
            **os.environ,
            "REMORA_SERVE_LOG": "off",
        },  # nobody reads on after the start: a full pipe would stop it
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            said = []
            for line in process.stdout:
                said.append(line)
                found = [word.rstrip("/.,") for word in line.split() if word.startswith("http://127.0.0.1:")]
                if found:
                    yield found[0].removesuffix("/v1")
                    return
            raise AssertionError("".join(said))
        finally:
            process.terminate()
            process.stdout.read()


if __name__ == "__main__":
    sys.exit(main())
