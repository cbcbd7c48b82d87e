"""`remora why`: what happened in the last deploy, or is the matter now; the cause, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from remora.cli.output.console import Mode, Output, OutputOption
from remora.cli.output.hanging import Hanging
from remora.cli.output.next_command import in_folder, next_command
from remora.cli.project_folder import FolderArgument, in_project
from remora.cli.why.diagnosis import facts_of
from remora.cli.why.why_page import page_of
from remora.errors import DeploymentNotFound, writing
from remora.rollout.why.causes import Confidence, Verdict, judge
from remora.rollout.why.facts import Fact, Facts
from remora.rollout.why.known_causes import KNOWN_CAUSES

app = typer.Typer(add_completion=False)

_SHOWN_ROWS = 24
_STYLES = {Confidence.CERTAIN: "bold", Confidence.LIKELY: "", Confidence.POSSIBLE: "dim"}

RevisionOption = Annotated[str | None, typer.Option(help="A revision; the newest by default.")]
HtmlOption = Annotated[
    Path | None, typer.Option("--html", help="Also write the timeline as a web page to this file.")
]
AllOption = Annotated[bool, typer.Option("--all", help="Show every row; otherwise the newest ones.")]


@app.command(epilog="Example: remora why examples/tone")
@in_project()
def why(
    folder: FolderArgument = Path(),
    revision: RevisionOption = None,
    html: HtmlOption = None,
    every: AllOption = False,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Show a timeline of the last deploy, or of now; the cause, its evidence, and the way out."""
    out = Output(output)
    with out.step("asking the cloud what happened") as say:
        facts = facts_of(folder, out, revision=revision)
        say(f"{len(facts.rows)} facts")
    if not facts.rows and not facts.serves:
        raise DeploymentNotFound(
            f"nothing is known about {folder.absolute()}: no command deployed it, and none failed",
            hint="run: remora up",
        )
    verdict = judge(facts, KNOWN_CAUSES)
    fix = in_folder(verdict.fix, folder)
    if html is not None:
        with writing(html):
            html.write_text(page_of(folder.resolve().name, facts, verdict, fix), encoding="utf-8")
    document = {**verdict_document(verdict, fix), "facts": [_fact_document(fact) for fact in facts.rows]}
    document["html"] = str(html) if html else None
    out.result("why", document, _shown(facts, verdict, fix, every=every))


def verdict_document(verdict: Verdict, fix: str) -> dict[str, Any]:
    """A verdict as data; `next` is the command of the fix if it can be run as it stands."""
    return {
        "cause": verdict.cause,
        "says": verdict.says,
        "confidence": verdict.confidence.value if verdict.is_known else None,
        "evidence": [_fact_document(fact) for fact in verdict.evidence],
        "fix": fix,
        "next": next_command(fix),
    }


def _fact_document(fact: Fact) -> dict[str, Any]:
    return {
        "at": fact.at,
        "source": fact.source.value,
        "what": fact.what,
        "seconds": None if fact.seconds is None else round(fact.seconds, 3),
        "wrong": fact.wrong,
    }


def _shown(facts: Facts, verdict: Verdict, fix: str, *, every: bool) -> Group:
    rows = facts.rows if every else facts.rows[-_SHOWN_ROWS:]
    table = Table(box=None, pad_edge=False)
    for column in ("time (UTC)", "source", "what", "how long"):
        table.add_column(column, overflow="fold", justify="right" if column == "how long" else "left")
    for fact in rows:
        style = "red" if fact.wrong else ""
        table.add_row(_time(fact, rows), fact.source.value, Text(fact.what), _took(fact), style=style)
    parts: list[Any] = []
    if len(rows) < len(facts.rows):
        left_out = len(facts.rows) - len(rows)
        parts.append(Text(f"{left_out} earlier rows are left out; all of them: --all"))
    certainty = f" ({verdict.confidence})" if verdict.is_known else ""
    parts += [table, Text(), _row("Cause", f"{verdict.says}{certainty}", _STYLES[verdict.confidence])]
    title = "Evidence" if verdict.is_known else "Nearest"
    parts += [_row(title, f"{fact.source}: {fact.what}") for fact in verdict.evidence]
    parts += [_row("Fix", fix)] if fix else []
    return Group(*parts)


def _row(title: str, text: str, style: str = "") -> Hanging:
    return Hanging(Text(f"{title:<9} ", style=style), text, style)


def _time(fact: Fact, rows: Sequence[Fact]) -> str:
    """The time, with the day if it is not that of the newest row."""
    newest = max(row.at for row in rows)
    day = "" if fact.at[:10] == newest[:10] else f"{fact.at[5:10]} "
    return f"{day}{fact.at[11:19]}" if fact.at else "now"


def _took(fact: Fact) -> str:
    if fact.seconds is None:
        return ""
    minutes, seconds = divmod(fact.seconds, 60)
    return f"{minutes:.0f}m{seconds:02.0f}s" if minutes else f"{seconds:.1f}s"
