"""`remora help`: a short text about one subject. `main.py` makes `help COMMAND` that command's --help."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated

import typer
from rich.text import Text

from remora.cli.help.topics import TOPICS
from remora.cli.output.console import Mode, Output, OutputOption
from remora.errors import NotFound, listed

app = typer.Typer(add_completion=False)


def _complete(incomplete: str) -> list[tuple[str, str]]:
    return [(name, topic.summary) for name, topic in TOPICS.items() if name.startswith(incomplete)]


TopicArgument = Annotated[
    str,
    typer.Argument(
        help="A subject, or a command.", show_default="list the subjects", autocompletion=_complete
    ),
]


@app.command("help", epilog="Example: remora help settings")
def explain_topic(topic: TopicArgument = "", output: OutputOption = Mode.HUMAN) -> None:
    """Explain a subject, such as settings, keys or exit-codes. With a command, print its --help."""
    out = Output(output)
    if not topic:
        lines = [f"  {name:<11} {each.summary}" for name, each in TOPICS.items()]
        text = "\n".join(["remora help TOPIC, with one of:", *lines])
        out.result("help", {"topics": list(TOPICS)}, Text(text))
        return
    found = TOPICS.get(topic)
    if found is None:
        near = get_close_matches(topic, TOPICS, n=3, cutoff=0.4) or list(TOPICS)
        raise NotFound(f"there is no help on {topic!r}", hint=f"try one of: {listed(near)}")
    out.result("help", {"topic": topic, "text": found.text()}, Text(found.text()))
