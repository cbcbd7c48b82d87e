"""The timeline of `remora why` as one web page without scripts or other files. Writes nothing itself.

Each row of the newest activity has a bar from its time to its end, on one scale. Earlier rows have none:
a deployment of last week would leave a minute of today no width.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from remora.rollout.why.causes import Verdict
from remora.rollout.why.facts import Fact, Facts, seconds_between

_NARROWEST_PERCENT = 0.4
_PAUSE_SECONDS = 600.0
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
td, th { padding: .25rem .5rem; text-align: left; vertical-align: top; border-top: 1px solid #8884; }
td.what { overflow-wrap: anywhere; width: 45%; }
td.bar { width: 30%; }
td.bar div { height: .8rem; min-width: 2px; background: #4a7fb5; border-radius: 2px; }
tr.wrong td.bar div { background: #c0392b; }
tr.wrong td.what { color: #c0392b; }
code { background: #8882; padding: .1rem .3rem; border-radius: 3px; }
@media (prefers-color-scheme: dark) { body { background: #1b1b1b; color: #ddd; } }
"""


def page_of(name: str, facts: Facts, verdict: Verdict, fix: str) -> str:
    """The page's HTML. Every text of a log is escaped."""
    recent = _recent([row for row in facts.rows if row.at])
    rows = "\n".join(_row(fact, recent) for fact in facts.rows)
    evidence = "".join(f"<li>{escape(fact.source)}: {escape(fact.what)}</li>" for fact in verdict.evidence)
    certainty = f" ({escape(verdict.confidence)})" if verdict.is_known else ""
    way_out = f"<p>What to do: <code>{escape(fix)}</code></p>" if fix else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Why: {escape(name)}</title><style>{_STYLE}</style></head><body>
<h1>{escape(name)}</h1>
<p><strong>{escape(verdict.says)}</strong>{certainty}</p>
<ul>{evidence}</ul>
{way_out}
<table><thead><tr><th>Time (UTC)</th><th>Source</th><th>What</th><th>Seconds</th><th></th></tr></thead>
<tbody>
{rows}
</tbody></table></body></html>
"""


def _recent(timed: Sequence[Fact]) -> Sequence[Fact]:
    """The rows since the last long pause."""
    for number in range(len(timed) - 1, 0, -1):
        earlier = timed[number - 1]
        pause = (seconds_between(earlier.at, timed[number].at) or 0.0) - (earlier.seconds or 0.0)
        if pause > _PAUSE_SECONDS:
            return timed[number:]
    return timed


def _row(fact: Fact, rows: Sequence[Fact]) -> str:
    seconds = "" if fact.seconds is None else f"{fact.seconds:.1f}"
    return (
        f"<tr{' class=wrong' if fact.wrong else ''}><td>{escape(fact.at[11:19] or 'now')}</td>"
        f"<td>{escape(fact.source)}</td><td class=what>{escape(fact.what)}</td><td>{seconds}</td>"
        f"<td class=bar>{_bar(fact, rows)}</td></tr>"
    )


def _bar(fact: Fact, rows: Sequence[Fact]) -> str:
    """ARM and the history report a time at the end, the logs one at the beginning."""
    if fact not in rows:
        return ""
    first = rows[0].at
    span = max((seconds_between(first, row.at) or 0.0) + (row.seconds or 0.0) for row in rows) or 1.0
    start = (seconds_between(first, fact.at) or 0.0) / span * 100
    width = max((fact.seconds or 0.0) / span * 100, _NARROWEST_PERCENT)
    start = min(start, 100 - _NARROWEST_PERCENT)
    return f'<div style="margin-left:{start:.2f}%;width:{min(width, 100 - start):.2f}%"></div>'
