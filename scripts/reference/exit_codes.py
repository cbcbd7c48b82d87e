"""`reference/exit-codes.md`: the exit codes of every command, and the error codes behind each."""

from __future__ import annotations

from typing import Final

from scripts.reference.table import code, table

from remora.cli.help.explanations import error_types
from remora.cli.output.streams import SIGPIPE_EXIT

HEAD = """# Exit codes

What a command's exit code says. Made from the code by `make docs`.

```sh
remora up my-folder --yes --output json > up.json || echo "exit code $?"
```
With `--output json` an error is a document, too: `error.code`, `error.message`, `error.hint`, and in
`error.docs` the section of [the page of errors](errors.md). `remora explain CODE` prints the same; at a
terminal an error ends with that command.
"""
MEANINGS: Final[dict[int, str]] = {
    0: "Done. `up` and `deploy` end with 0 only after the endpoint answered a real request.",
    1: "Unexpected: a fault of Remora, a damaged file of its state, or a disk that takes no more.",
    2: "A wrong command, flag, value or file. Nothing was changed.",
    3: "Something that was named does not exist.",
    4: "Not signed in, or the key is wrong.",
    5: "Refused before any change: quota, policy, or an adapter that cannot be served.",
    6: "The cloud could not create the resources, or the upload failed.",
    7: "Not ready in time. What served before still serves.",
    8: "The check failed: answers are not as recorded, or an adapter has no effect. "
    "The traffic was not switched.",
    9: "Another command changes the same endpoint at this moment.",
    130: "Interrupted with Ctrl+C. Operations that were started in the cloud continue.",
    SIGPIPE_EXIT: "The program that read the output ended first, as `head` does.",
}


def exit_codes_page() -> str:
    return f"{HEAD}\n{table(('Exit code', 'Meaning', 'Error codes'), _rows())}"


def _rows() -> list[tuple[str, str, str]]:
    codes: dict[int, list[str]] = {number: [] for number in (0, SIGPIPE_EXIT)}
    for error in error_types():
        codes.setdefault(error.exit_code, []).append(error.code)
    return [
        (str(number), MEANINGS[number], ", ".join(f"[{code(each)}](errors.md#{each})" for each in names))
        for number, names in sorted(codes.items())
    ]
