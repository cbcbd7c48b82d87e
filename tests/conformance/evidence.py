"""Microsoft's recordings and specifications, fetched from the public commits that `evidence.txt` pins.

That list has the SHA-256 of each file; a file that differs is refused. Recordings are written as JSON: one
object for each exchange, without what says nothing about the service. Owns fetching and that form;
`recordings.py` reads it, `scripts/evidence.py` is the command.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

LIST = Path(__file__).with_name("evidence.txt")
SOURCE = "https://raw.githubusercontent.com"  # REMORA_EVIDENCE_SOURCE names a mirror with the same paths
FETCHED = Path(__file__).parents[2] / ".evidence" / "azure"
BESIDE = Path(__file__).parents[3] / "shared" / "azure"
ABSENT = "Microsoft's recordings and specifications are not here: run make evidence"

REQUEST_HEADERS = re.compile(
    r"content-(length|type)|x-ms-(content-(length|md5|type)|copy-source|correlation-request-id|date"
    r"|file-(attributes|creation-time|last-write-time|permission)|meta-a|range|share-quota|type|version|write)"
)
ANSWER_HEADERS = re.compile(
    r"accept-ranges|api-supported-versions|azure-asyncoperation|content-(length|md5|range|type)|etag|last-modified"
    r"|location|retry-after|server|transfer-encoding|x-ms-(access-tier|async-operation-timeout|copy-(source|status)"
    r"|correlation-request-id|error-code|failure-cause|file-.*|has-immutability-policy|lease-(state|status)|meta-a"
    r"|request-server-encrypted|server-encrypted|share-quota|type|version)"
)
SIGNATURE = re.compile(r"([?&][csh])=[^&]+")  # of an operation's URL: once a credential
TOKEN = re.compile(r'"token": "eyJ[^"]+"')  # of a log stream; expired, but nothing that a test needs
LONGEST_TEXT = 3000
PROVIDER = re.compile(r"https://management\.azure\.com/subscriptions/[^/]+/providers/[^/?]+\?api-version=.*")


@dataclass(frozen=True, slots=True)
class Evidence:
    """One file at its source, and where it belongs."""

    sha256: str
    repository: str
    commit: str
    path: str
    target: str


def folder() -> Path:
    """Where the evidence is: beside the repository, or where `make evidence` puts it."""
    return BESIDE if BESIDE.is_dir() else FETCHED


def listed(text: str) -> list[Evidence]:
    """The lines of `evidence.txt`: `repository commit` opens a block of `sha256 path target`."""
    found: list[Evidence] = []
    repository = commit = ""
    for line in text.splitlines():
        words = line.split()
        if len(words) == 2:
            repository, commit = words
        elif len(words) == 3:
            found.append(Evidence(words[0], repository, commit, words[1], words[2]))
    return found


def fetch(wanted: Iterable[Evidence], source: str, target: Path) -> Iterator[Path]:
    """Writes each file below `target`; one that is there already is not fetched again.

    Raises:
        SystemExit: a file cannot be had, or is not the one that is pinned. What was written before stays.
    """
    with httpx.Client(timeout=60, follow_redirects=True) as client, ThreadPoolExecutor(8) as pool:
        yield from pool.map(lambda item: _fetch_one(client, item, source, target), wanted)


def _fetch_one(client: httpx.Client, item: Evidence, source: str, target: Path) -> Path:
    path = target / item.target
    if path.exists():
        return path
    url = f"{source}/{item.repository}/{item.commit}/{item.path}"
    try:
        content = client.get(url).raise_for_status().content
    except httpx.HTTPError as error:
        sys.exit(f"{url} cannot be fetched: {error}\nSet REMORA_EVIDENCE_SOURCE to a mirror, or try again.")
    found = hashlib.sha256(content).hexdigest()
    if found != item.sha256:
        sys.exit(f"{url} is not the pinned file: its SHA-256 is {found}, not {item.sha256}")
    if item.path.endswith(".yaml"):
        document = {"source": {"repo": item.repository, "commit": item.commit, "path": item.path}}
        content = json.dumps({**document, "exchanges": exchanges(content)}, ensure_ascii=False).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    partial.write_bytes(content)
    partial.replace(path)
    return path


def exchanges(recording: bytes) -> list[dict[str, Any]]:
    """The exchanges of a recording by vcrpy or go-vcr, equal polls in a row as one with `repeated`."""
    documents = yaml.load_all(recording, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    interactions = next(item["interactions"] for item in documents if "interactions" in item)
    found: list[dict[str, Any]] = []
    for interaction in interactions:
        exchange = _exchange(interaction["request"], interaction["response"])
        request = exchange["request"]
        if request["method"] == "GET" and PROVIDER.fullmatch(request["uri"]):
            continue  # the client asks what the provider is; nothing of the conversation depends on it
        if found and request["method"] == "GET" and _same(found[-1], exchange):
            found[-1]["repeated"] = found[-1].get("repeated", 1) + 1
        else:
            found.append(exchange)
    return found


def _exchange(request: dict[str, Any], response: dict[str, Any]) -> dict[str, Any]:
    """vcrpy has `uri` and a body in an object; go-vcr has `url` and a body as text, "" for none."""
    vcrpy = "uri" in request
    url = request["uri" if vcrpy else "url"]
    body = _file_body if ".file.core." in url else _body
    return {
        "request": {
            "method": request["method"],
            "uri": _redacted(url),
            "headers": _headers(request["headers"], REQUEST_HEADERS),
            "body": body(request["body"] if vcrpy else request["body"] or None),
        },
        "response": {
            "status": response["status"]["code"] if vcrpy else response["code"],
            "headers": _headers(response["headers"], ANSWER_HEADERS),
            "body": body(response["body"]["string"] if vcrpy else response["body"] or None),
        },
    }


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    def key(exchange: dict[str, Any]) -> tuple[Any, ...]:
        request, response = exchange["request"], exchange["response"]
        return request["method"], request["uri"], response["status"], response["body"]

    return key(one) == key(other)


def _headers(headers: dict[str, list[str]], kept: re.Pattern[str]) -> dict[str, str | list[str]]:
    values = {name.lower(): [_redacted(value) for value in found] for name, found in headers.items()}
    return {
        name: found[0] if len(found) == 1 else found for name, found in values.items() if kept.fullmatch(name)
    }


def _redacted(url: str) -> str:
    url = re.sub(r"([?&]sig)=[^&]+", r"\1=REDACTED", url)
    return SIGNATURE.sub(r"\1=REDACTED", url) if "&t=" in url else url


def _body(text: str | bytes | None) -> Any:
    if not text:
        return text
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if not isinstance(value, dict | list):
        return text
    return json.loads(TOKEN.sub('"token":"REDACTED_JWT"', json.dumps(value)))


def _file_body(text: str | bytes | None) -> Any:
    """Of a file's long content only its length and hash, which is all that a replay needs."""
    if not text or len(text) <= LONGEST_TEXT:
        return _body(text)
    content = text.encode() if isinstance(text, str) else text
    return f"...OMITTED {len(text)} chars sha256 {hashlib.sha256(content).hexdigest()}"
