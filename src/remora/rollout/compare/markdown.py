"""The summary of a comparison as Markdown, for a pull request. Made of the comparison's document alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]

_OUTCOMES = {"better": "✅", "worse": "❌", "same": "⚪", "unknown": "❔"}
_MOST_SHOWN = 5
_JOINER = "\u2060"  # behind an at sign: tone@previous is no mention of a user
_MOST_CHARACTERS = 160


def markdown_of(document: Json) -> str:
    """Verdicts, a table of the figures, and a few answers that differ."""
    models, settings = document["models"], document["settings"]
    names = list(dict.fromkeys(name for model in models for name in model["figures"]))
    lines = ["### Comparison of " + ", ".join(f"`{model['label']}`" for model in models), ""]
    lines += [f"- {_OUTCOMES[one['outcome']]} {_plain(one['text'])}" for one in document["verdicts"]]
    lines += ["", "| model | " + " | ".join([*names, "drift (nats a token)", "other answers"]) + " |"]
    lines += ["|---" * (len(names) + 3) + "|"]
    lines += [_row(model, names, settings["prompt_count"]) for model in models]
    lines += ["", *_differing(document)]
    lines += [
        f"<sub>{settings['prompt_count']} prompts of {_plain(settings['prompts'])},"
        f" {settings['general_prompts']} general ones; paired bootstrap 95 % intervals;"
        f" Remora {document['remora']}</sub>",
        "",
    ]
    return "\n".join(lines)


def _row(model: Json, names: list[str], prompts: int) -> str:
    digest = f" `{model['digest'][:12]}`" if model["digest"] else ""
    cells = [f"{_plain(model['label'])}{digest}"]
    cells += [_measure(model["figures"].get(name)) for name in names]
    cells += [_measure(model["drift"]), f"{model['changed_answers']} of {prompts}"]
    return f"| {' | '.join(cells)} |"


def _measure(measure: Json | None) -> str:
    return f"{measure['value']:.3f} [{measure['low']:.3f}, {measure['high']:.3f}]" if measure else "-"


def _differing(document: Json) -> list[str]:
    """A few prompts whose answers differ, folded."""
    found = [
        prompt for prompt in document["prompts"] if len({answer["text"] for answer in prompt["answers"]}) > 1
    ]
    if not found:
        return []
    labels = [model["label"] for model in document["models"]]
    lines = [f"<details><summary>The first {min(len(found), _MOST_SHOWN)} of {len(found)} prompts that"]
    lines[0] += " are answered differently</summary>"
    lines += ["", "| prompt | " + " | ".join(map(_plain, labels)) + " |", "|---" * (len(labels) + 1) + "|"]
    for prompt in found[:_MOST_SHOWN]:
        texts = [prompt["prompt"], *(answer["text"] for answer in prompt["answers"])]
        lines.append(f"| {' | '.join(_cut(text) for text in texts)} |")
    return [*lines, "", "</details>", ""]


def _cut(text: str) -> str:
    cut = text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"
    return _plain(cut)


def _plain(text: str) -> str:
    """Text that Markdown and HTML leave as it is, on one line."""
    for sign, kept in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, kept)
    for sign in "\\`*_[]|#~":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.replace("@", f"@{_JOINER}").split())
