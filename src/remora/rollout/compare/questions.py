"""What is asked in a comparison: prompts of a JSONL file or of `golden.toml`, and general ones of our own.

The general prompts are about nothing that a fine-tune is usually about. What an adapter changes in the
answers to them goes beyond its task.
"""

from __future__ import annotations

from pathlib import Path

from remora.errors import InvalidFile
from remora.rollout.evaluation.questions import Form, Question, read_questions
from remora.rollout.golden.prompts import FILE_NAME, read_golden

GOLDEN = "golden"
_FORM = Form(
    noun="prompt",
    param="--prompts",
    required=("prompt",),
    most=10_000,
    file_hint="name a JSONL file, or: golden",
    line_hint='write {"prompt": "…"}, with "answer" and "system" where there are any',
)

GENERAL_PROMPTS = (
    "What is the capital of France?",
    "Add 17 and 25.",
    "Name three colours.",
    "Which month comes after March?",
    "Write one sentence about the sea.",
    "Explain in one sentence why it rains.",
    "Translate 'good morning' into Spanish.",
    "What do bees make?",
    "List two things that you need to bake bread.",
    "Is a whale a fish?",
    "Write a Python function that returns the square of a number.",
    "What is the opposite of 'early'?",
    "How many legs does a spider have?",
    "Put these in alphabetical order: pear, apple, fig.",
    "Give a short definition of 'democracy'.",
    "Finish the sentence: The train was late, so",
    "What is 10 percent of 250?",
    "Why should one back up important files?",
    "Write a polite request for an invoice.",
    "Who wrote 'Hamlet'?",
    "Describe a bicycle to somebody who has never seen one.",
    "Turn this into a question: You live in Oslo.",
    "At what temperature does water boil at sea level?",
    "Suggest a title for an article about city gardens.",
)


def questions_of(source: str, root: Path) -> list[Question]:
    """The prompts of a file, or those of `golden.toml` if `source` is "golden". Raises InvalidFile.

    Answers of `golden.toml` are what models did say, not what they should say, so none is expected.
    """
    if source != GOLDEN:
        return read_questions(Path(source), _FORM)
    users = dict.fromkeys(prompt.user for prompt in read_golden(root).prompts)
    if not users:
        raise InvalidFile(
            f"{root / FILE_NAME} has no prompts",
            hint="run: remora golden record, or name a JSONL file with --prompts",
            param="--prompts",
        )
    return [Question(user) for user in users]
