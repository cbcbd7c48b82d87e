"""`python -m tests.clients.matrix PAGE [CLIENT…]`: what real clients do, written to a page.

Each client is a program of its own, in an environment of its own. Each call goes over HTTP to an endpoint
whose model is scripted: what a client makes of an answer is judged, not what a model writes. The cases of
tools run twice: on a template that knows tools, and on one that knows none.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from tests.api.endpoint_builder import BASE, KEY, RunningEndpoint
from tests.clients.endpoints import FORMS, FullEndpoint, maker, settings
from tests.clients.installed import CLIENTS, NODE, PROGRAMS, Client, install
from tests.clients.page import Outcome, write_rows

TOOL_CASES = ("auto", "required", "named", "parallel", "result")
CASES = (
    *("list", "chat", "stream", "usage", *TOOL_CASES, "schema", "stop", "logprobs", "n", "seed"),
    *("cancel", "wrong_key", "wrong_model", "retry", "asynchronous"),
)
TOLD = "TOLD "
SECONDS = 900.0  # on a busy machine; some clients take long to be imported


def main() -> int:
    page, chosen = Path(sys.argv[1]), sys.argv[2:]
    failures: list[str] = []
    with ExitStack() as stack:
        urls = {
            form: stack.enter_context(RunningEndpoint(replace(settings(), ollama=True), maker(written))).url
            for form, written in FORMS.items()
        }
        full = stack.enter_context(FullEndpoint())
        for client in CLIENTS:
            if chosen and client.name not in chosen:
                continue
            install(client)
            with full.full():
                told = [told_by(client, urls["template"], full.url)]
            if any("cannot" not in told[0].get(case, {}) for case in TOOL_CASES):
                told.append(told_by(client, urls["generic"], full.url, TOOL_CASES))
            outcomes = {case: _outcome([each[case] for each in told if case in each]) for case in CASES}
            write_rows(page, client, outcomes)
            failed = [
                f"{client.name} {case}: {each.problem}" for case, each in outcomes.items() if each.problem
            ]
            sys.stdout.writelines(f"{line}\n" for line in failed or [f"{client.name}: works"])
            sys.stdout.flush()
            failures += failed
    return 1 if failures else 0


def told_by(
    client: Client, url: str, busy_url: str, cases: Iterable[str] = ()
) -> Mapping[str, Mapping[str, str]]:
    """What its program says of each case."""
    with tempfile.TemporaryDirectory() as home:
        try:
            done = run_program(client, Path(home), url, busy_url, cases)
        except subprocess.TimeoutExpired:
            return {"chat": {"problem": f"took more than {SECONDS:g} seconds"}}
    lines = [line for line in done.stdout.splitlines() if line.startswith(TOLD)]
    if not lines:
        return {"chat": {"problem": done.stderr[-1000:] or done.stdout[-1000:]}}
    told: dict[str, dict[str, str]] = json.loads(lines[-1].removeprefix(TOLD))
    return told


def run_program(
    client: Client,
    home: Path,
    url: str,
    busy_url: str,
    cases: Iterable[str] = (),
    *,
    node: Path = NODE,
    python: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    arguments = [f"{url}/v1", KEY, BASE]
    environment = {
        **os.environ,
        "HOME": str(home),
        "PATH": f"{client.commands}:{os.environ['PATH']}",
        "BUSY_URL": f"{busy_url}/v1",
        "CASES": " ".join(cases),
    }
    if client.is_node:  # read from stdin: packages are found from where it runs
        command, text = ["node", "--input-type=module", "-"], _node_program(client)
    else:
        command, text = [str(python or client.python), str(PROGRAMS / client.program)], None
    return subprocess.run(
        [*command, *arguments],
        cwd=node if client.is_node else home,
        env=environment,
        input=text,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def _node_program(client: Client) -> str:
    return "".join((PROGRAMS / name).read_text("utf-8") for name in ("harness.mjs", client.program))


def _outcome(told: Sequence[Mapping[str, str]]) -> Outcome:
    """Of one case on all forms of templates. A program must tell something of each."""
    if not told:
        return Outcome("its program says nothing of it")
    if "cannot" in told[0]:
        return Outcome(cannot=told[0]["cannot"])
    problems = [each["problem"] for each in told if "problem" in each]
    return Outcome(" / ".join(problems))


if __name__ == "__main__":
    sys.exit(main())
