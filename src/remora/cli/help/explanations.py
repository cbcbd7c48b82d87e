"""What each error code means, and what to do: for `remora explain` and for the page of the reference.

Owns these texts. The codes, exit codes and HTTP statuses are those of `remora.errors`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from remora.errors import RemoraError

PAGE: Final = "reference/errors.md"


@dataclass(frozen=True, slots=True)
class Explanation:
    """When the error comes, and what to do."""

    cause: str
    remedy: str


EXPLANATIONS: Final[dict[str, Explanation]] = {
    "internal_error": Explanation(
        "Remora met a state that its authors did not expect. This is a fault of Remora.",
        "Run the command again with REMORA_DEBUG=1, and report what it prints. What served before "
        "still serves.",
    ),
    "invalid_value": Explanation(
        "A flag, an argument or a field of a request has a value that is not accepted. The message names it.",
        "Correct the value. Each command prints its flags with --help; docs/reference/endpoint.md lists the "
        "API's fields.",
    ),
    "unsupported_parameter": Explanation(
        "A request has a field that this endpoint does not know, and that would change the answer elsewhere.",
        "Leave the field out. `strict = false` under [serve] in remora.toml ignores such fields, with"
        " a header.",
    ),
    "context_length_exceeded": Explanation(
        "The prompt, or the prompt and the answer that was asked for, is longer than the model's context.",
        "Shorten the conversation, lower max_tokens, or leave max_tokens out: the answer then gets "
        "what is left.",
    ),
    "invalid_file": Explanation(
        "A file of the project is malformed. The message names the file and, where known, the line.",
        "Correct that line. `git diff` shows what changed; `remora init --force` writes Remora's own "
        "files again.",
    ),
    "request_too_large": Explanation(
        "The body of a request is larger than its route accepts.",
        "Send less in one request. The message says what the limit is.",
    ),
    "headers_too_large": Explanation(
        "The request line, the headers or the trailers of a request are longer than the limit.",
        "Send fewer or shorter headers; a cookie of another program on the same host is often the reason.",
    ),
    "request_timeout": Explanation(
        "A client announced a body and did not send it in time.",
        "Check the client's connection, and whether Content-Length is the length of the body.",
    ),
    "port_in_use": Explanation(
        "Another program listens on the port that was asked for.",
        "Choose another with --port, or end that program. `ss -ltnp` shows which it is.",
    ),
    "not_found": Explanation(
        "A folder, file or resource that was named does not exist.",
        "Check the spelling, and from which folder the command runs.",
    ),
    "model_not_found": Explanation(
        "The endpoint serves no model of the name in the request.",
        "`remora status` lists the names; GET /v1/models does the same over HTTP.",
    ),
    "project_incomplete": Explanation(
        "The folder lacks a base model, an adapter, or the files that `remora init` writes.",
        "The message says what is missing. docs/how-to/your-own-adapter.md says where each is looked for.",
    ),
    "deployment_not_found": Explanation(
        "Nothing has been deployed from this folder, or it has been removed.",
        "Deploy it with `remora up`. `remora plan` shows first what that would do.",
    ),
    "sign_in_required": Explanation(
        "Azure does not accept the sign-in of this machine, or there is none; or a page needs a key.",
        "Sign in with `az login`, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET.",
    ),
    "invalid_api_key": Explanation(
        "The request has no API key, or one that the endpoint does not know.",
        "`remora secrets` shows the key; send it as `Authorization: Bearer KEY`. A new one comes from"
        " `remora keys add`.",
    ),
    "refused": Explanation(
        "The command was refused before it changed anything, because it could have done damage or "
        "cannot work.",
        "The hint names the command or the flag that goes on.",
    ),
    "adapter_rejected": Explanation(
        "An adapter cannot be applied exactly to this base model: other shapes, another kind, damaged"
        " weights.",
        "`remora adapters show FOLDER` prints the whole report and, where there is one, the way out.",
    ),
    "foreign_host": Explanation(
        "The request's Host header names another machine. A web page from elsewhere may have sent it.",
        "Use the address that `remora open --print` prints.",
    ),
    "foreign_origin": Explanation(
        "A web page from elsewhere sent the request through the browser of somebody who is signed in.",
        "Call the endpoint from a program with a key, or from its own page.",
    ),
    "admin_key_required": Explanation(
        "The request would change which adapters are served, and ordinary keys cannot do that.",
        "Use the admin key: `remora keys show admin` shows it.",
    ),
    "provisioning_failed": Explanation(
        "Azure, or the local cloud, refused or failed to create a resource. The message quotes its reason.",
        "Correct what the reason names, and run the command again: what exists already is kept.",
    ),
    "sync_failed": Explanation(
        "A file could not be copied to the share.",
        "Run the command again; only what is missing is copied. Check the share's quota and the network.",
    ),
    "not_ready": Explanation(
        "The new revision did not answer in time, or it stopped. What served before still serves.",
        "`remora logs` shows the container's lines. A longer limit is set with --timeout.",
    ),
    "cloud_unavailable": Explanation(
        "Azure, or the local cloud, cannot be reached.",
        "`remora cloud status` shows whether the local cloud runs; `remora cloud start` starts it.",
    ),
    "engine_failed": Explanation(
        "The inference engine stopped in the middle of its work. The endpoint restarts it.",
        "Send the request again. `remora logs` shows the reason; report it if it comes back.",
    ),
    "load_failed": Explanation(
        "The engine could not load the weights, for a reason other than the weights: memory, a "
        "device, a library.",
        'The message names it. `quantize = "int8"` under [serve] halves the memory of the weights, "nf4" '
        'and "int4" take about a quarter.',
    ),
    "overloaded": Explanation(
        "As many requests are running and queued as the endpoint accepts.",
        "Wait as long as the Retry-After header says. max_queued_requests and max_replicas in "
        "remora.toml raise the limit.",
    ),
    "draining": Explanation(
        "The replica is about to stop: it finishes running requests and accepts no new ones.",
        "Send the request again; another replica answers it.",
    ),
    "deadline_exceeded": Explanation(
        "The answer took longer than the endpoint's time limit and was stopped.",
        "Ask for fewer tokens, or stream the answer. The limit is request_timeout_seconds under [serve].",
    ),
    "verification_failed": Explanation(
        "A check did not pass: golden prompts differ, or an adapter changes nothing. The release got "
        "no traffic.",
        "`remora golden check` shows what differs. --allow-unproven accepts an adapter without an effect.",
    ),
    "cannot_write": Explanation(
        "A file cannot be written: the place is read-only or belongs to another user.",
        "Make it writable, or set REMORA_HOME to a folder that you can write to.",
    ),
    "disk_full": Explanation(
        "The disk, or your quota on it, is full. No file is left half written.",
        "Free some space (`df -h` shows where), then run the command again.",
    ),
    "not_offered": Explanation(
        "OpenAI's API has this service, and this endpoint does not.",
        "The message names what to use instead. docs/reference/endpoint.md lists what is offered.",
    ),
    "damaged_state": Explanation(
        "A file in which Remora keeps its state is not as it was written.",
        "The hint names the command that starts again without losing models or adapters.",
    ),
    "locked": Explanation(
        "Another command is changing the same endpoint. The message says who runs it, and since when.",
        "Wait until it ends. A lock whose holder died is free again after its lease of a minute.",
    ),
    "interrupted": Explanation(
        "The command was stopped with Ctrl+C or by a signal. What served before still serves.",
        "Run it again: it continues from what is done.",
    ),
}


def error_types() -> list[type[RemoraError]]:
    """The first class of each code, parents first."""
    found: dict[str, type[RemoraError]] = {}
    waiting: list[type[RemoraError]] = [RemoraError]
    while waiting:
        error = waiting.pop(0)
        found.setdefault(error.code, error)
        waiting = [*error.__subclasses__(), *waiting]
    return list(found.values())


def page() -> str:
    """The page of the reference, in Markdown."""
    head = [
        "# Error codes",
        "",
        "A command prints `Error (CODE): what happened`, and below it what to do; the endpoint "
        "answers with the code in",
        "`error.code`. `remora explain CODE` prints the same text as this page; at a terminal an error ends"
        " with that command.",
        "Made from the code by `make docs`.",
    ]
    return "\n".join([*head, *(line for error in error_types() for line in _section(error))]) + "\n"


def _section(error: type[RemoraError]) -> Iterator[str]:
    told = EXPLANATIONS[error.code]
    yield from ("", f"## {error.code}", "", f"Exit code {error.exit_code}, HTTP status {error.http_status}.")
    yield from ("", told.cause, "", f"**What to do:** {told.remedy}")


if __name__ == "__main__":
    (Path(sys.argv[1]) / PAGE).write_text(page(), encoding="utf-8")
