"""The final panel: what runs, how to reach it, what to do next. Prints nothing itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.text import Text

from remora.adapters.adapter import Digest, short
from remora.cli.commands.golden import golden_document
from remora.cli.output.hanging import Hanging
from remora.cli.output.next_command import command_line
from remora.cli.output.proof_lines import proof_document, proof_text
from remora.cli.price import front_line, price_line
from remora.rollout.deploy import Deployed

_PREVIEW_CHARACTERS = 60
_INDENT = 14
_BETWEEN_COMMANDS = " · "


def deployed_document(name: str, folder: str, deployed: Deployed) -> dict[str, Any]:
    """The panel's data, for `--output json`."""
    return {
        "name": name,
        "folder": folder,
        "endpoint": f"{deployed.url}/v1",
        "chat_page": f"{deployed.url}/",
        "program": deployed.program,
        "front": deployed.front or None,
        "revision": deployed.revision,
        "new_revision": deployed.changed,
        "restarted": deployed.restarted,
        "uploaded": {"files": deployed.uploaded_files, "bytes": deployed.uploaded_bytes},
        "unchanged_files": deployed.kept_files,
        "seconds": {phase: round(seconds, 2) for phase, seconds in deployed.seconds.items()},
        "answers": [
            {
                "model": item.answer.model,
                "adapter_digest": item.answer.digest or None,
                "prompt": item.prompt,
                "answer": item.answer.text,
                "tokens_per_second": item.answer.tokens_per_second,
            }
            for item in deployed.checked
        ],
        "golden": golden_document(deployed.golden) if deployed.golden else None,
        "proof": {name: proof_document(proof) for name, proof in deployed.proofs.items()},
        "comparison": list(deployed.measured),
        "kept_revision": deployed.kept or None,
    }


def deployed_panel(document: Mapping[str, Any]) -> Group:
    """The panel for people."""
    seconds = document["seconds"]
    phases = " · ".join(f"{phase} {value:.1f}s" for phase, value in seconds.items())
    head = Text.assemble((" ● ", "green bold"), (str(document["name"]), "bold"), "  ")
    parts = [Hanging(head, f"ready in {sum(seconds.values()):.1f}s  ({phases})", indent=_INDENT)]
    uploaded, folder = document["uploaded"], Path(document["folder"])
    new = "new" if document["new_revision"] else "restarted" if document["restarted"] else "unchanged"
    program = document["program"]
    key = f"no key: it runs {program}" if program else f"key: {command_line('secrets', folder)}"
    rows = {
        "Endpoint": f"{document['endpoint']}      {key}",
        "Chat page": str(document["chat_page"]),
        "Revision": f"{document['revision']} ({new})",
        "Uploaded": f"{uploaded['files']} files, {uploaded['bytes']:,} bytes;"
        f" {document['unchanged_files']} were already there",
    }
    if document["golden"]:
        rows["Verified"] = document["golden"]["summary"]
    if document["proof"]:
        rows["Proof"] = proof_text(document["proof"])
    if document.get("awake"):
        rows["Awake"] = document["awake"]
    if document.get("price"):
        rows["Price"] = price_line(document["price"])
    if document["front"]:
        costs = front_line(document["price"]) if document.get("price") else ""
        rows["Front"] = f"{document['front']}: {costs or 'answers while the model sleeps'}"
    if document["comparison"]:
        rows["Compared"] = "; ".join(document["comparison"])
    if document["kept_revision"]:
        rows["Kept"] = (
            f"{document['kept_revision']}, without traffic; go back with: {command_line('rollback', folder)}"
        )
    parts += [_row(title, text) for title, text in rows.items()]
    parts += [_row("Answered", _answer_line(answer, program)) for answer in document["answers"]]
    commands = (command_line(command, folder) for command in ("chat", "open", "logs", "down"))
    return Group(*parts, _row("Next", _BETWEEN_COMMANDS.join(commands), between=_BETWEEN_COMMANDS))


def _row(title: str, text: str, *, between: str = " ") -> Hanging:
    return Hanging(Text(f"   {title:<10} ", style="dim"), text, between=between)


def _answer_line(answer: Mapping[str, Any], program: str | None) -> str:
    digest = answer["adapter_digest"]
    base = "" if program else " (base)"
    who = f"{answer['model']}@{short(Digest(digest))}" if digest else f"{answer['model']}{base}"
    text = " ".join(str(answer["answer"]).split())
    shown = text if len(text) <= _PREVIEW_CHARACTERS else text[: _PREVIEW_CHARACTERS - 1] + "…"
    return f"{who}: {answer['prompt']!r} → {shown!r}"
