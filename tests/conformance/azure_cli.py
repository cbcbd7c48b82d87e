"""The Azure CLI, unmodified, against the local cloud: sign-in, deployment, app, logs, files, removal.

    python -m tests.conformance.azure_cli

Makes a virtual environment of its own for the CLI (733 MB, once) in $REMORA_AZURE_CLI, by default
/tmp/remora-azure-cli, and a cloud of its own that is gone afterwards. Prints a line for each command.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import remora
from containerapps_emulator.arm.subscription import LOCAL_SUBSCRIPTION_ID

REQUIREMENTS: Final = Path(__file__).with_name("requirements-azure-cli.txt")
PACKAGE: Final = Path(remora.__file__).parent
TEMPLATE: Final = PACKAGE / "project" / "template" / "inference.json"
SERVER: Final = (
    "import http.server as h, os\n"
    "class Answer(h.BaseHTTPRequestHandler):\n"
    "  def do_GET(self): self.send_response(200); self.end_headers(); self.wfile.write(b'hello')\n"
    "h.ThreadingHTTPServer(('127.0.0.1', int(os.environ['PORT'])), Answer).serve_forever()\n"
)
START_SECONDS: Final = 20
COMMAND_SECONDS: Final = 400
GROUP: Final = ("-g", "work")


class Failed(Exception):
    """A command of the CLI did not do what it does on Azure."""


@dataclass(frozen=True, slots=True)
class AzureCli:
    """The CLI with a configuration of its own. Keeps nothing of yours and changes nothing of yours."""

    program: Path
    environment: Mapping[str, str]

    def __call__(self, *words: str, **more: str) -> Any:
        """The JSON that a command prints; `more` is further environment. Raises Failed."""
        started = time.monotonic()
        answer = subprocess.run(
            [str(self.program), *words, "--output", "json", "--only-show-errors"],
            env={**self.environment, **more},
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        shown = " ".join(word if len(word) < 40 else f"{word[:37]}…" for word in words)
        if answer.returncode:
            raise Failed(f"az {shown}\n{answer.stderr.strip()}")
        sys.stdout.write(f"ok  {time.monotonic() - started:5.1f} s  az {shown}\n")
        sys.stdout.flush()
        return _json_in(answer.stdout)


def main() -> int:
    program = _installed(Path(os.environ.get("REMORA_AZURE_CLI", "/tmp/remora-azure-cli")))  # noqa: S108
    with tempfile.TemporaryDirectory() as folder, _cloud(Path(folder)) as connection:
        environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            "AZURE_CONFIG_DIR": f"{folder}/azure",
            "AZURE_CORE_COLLECT_TELEMETRY": "0",
            "AZURE_CORE_INSTANCE_DISCOVERY": "false",
            "REQUESTS_CA_BUNDLE": connection["ca_file"],
            "IDENTITY_ENDPOINT": connection["identity_endpoint"],
            "IDENTITY_HEADER": connection["identity_header"],
        }
        az = AzureCli(program, environment)
        try:
            _sign_in(az, connection)
            names = _deploy(az, Path(folder))
            _app(az, names["ACA_APP_NAME"])
            _files(az, Path(folder), connection, names)
            _remove(az)
        except Failed as failure:
            sys.stderr.write(f"FAILED {failure}\n")
            return 1
    return 0


def _sign_in(az: AzureCli, connection: Mapping[str, str]) -> None:
    az("cloud", "register", "-n", "remora", "--endpoint-resource-manager", connection["arm_tls_url"])
    az("cloud", "set", "-n", "remora")
    (account,) = az("login", "--identity")
    _check(account["id"] == LOCAL_SUBSCRIPTION_ID, f"signed in to {account}")
    az("account", "list-locations")
    _check(az("provider", "show", "-n", "Microsoft.App")["registrationState"] == "Registered", "provider")
    az("group", "create", "-n", "work", "-l", "eastus")


def _deploy(az: AzureCli, folder: Path) -> dict[str, str]:
    """Provision the template that `remora init` writes. The answer is its outputs."""
    parameters = folder / "parameters.json"
    parameters.write_text(json.dumps({"contentVersion": "1.0.0.0", "parameters": _parameters()}))
    template = ("-n", "first", "--template-file", str(TEMPLATE), "--parameters", f"@{parameters}")
    validated = az("deployment", "group", "validate", *GROUP, *template)
    _check(validated["properties"]["provisioningState"] == "Succeeded", "validate")
    expected = az("deployment", "group", "what-if", *GROUP, *template, "--no-pretty-print")
    _check({item["changeType"] for item in expected["changes"]} == {"Create"}, "what-if")
    az("deployment", "group", "create", *GROUP, *template, "--no-wait")  # else it polls every 30 s
    az("deployment", "group", "wait", *GROUP, "-n", "first", "--created", "--interval", "1")
    again = az("deployment", "group", "what-if", *GROUP, *template, "--no-pretty-print")
    changed = [item["resourceId"] for item in again["changes"] if item["changeType"] not in UNCHANGED]
    _check(not changed, f"what-if after the deployment: {changed}")
    az("deployment", "operation", "group", "list", *GROUP, "-n", "first")
    shown = az("deployment", "group", "show", *GROUP, "-n", "first")
    return {name.upper(): item["value"] for name, item in shown["properties"]["outputs"].items()}


UNCHANGED: Final = ("NoChange", "Ignore")


def _parameters() -> dict[str, Any]:
    values = {
        "defaultCommands": [f'exec python3 -c "{SERVER}"'],
        "maximumInstanceCount": 1,
        "minReplicas": 1,
        "apiKey": "s3cret",
    }
    return {name: {"value": value} for name, value in values.items()}


def _app(az: AzureCli, app: str) -> None:
    named = (*GROUP, "-n", app)
    _check(
        az("containerapp", "show", *named)["properties"]["provisioningState"] == "Succeeded",
        "containerapp show",
    )
    (revision,) = az("containerapp", "revision", "list", *named)
    _until(lambda: az("containerapp", "revision", "list", *named)[0]["properties"]["runningState"], "Running")
    _check("Connecting" in json.dumps(az("containerapp", "logs", "show", *named)), "logs show")
    events = az("containerapp", "logs", "show", *named, "--type", "system")
    _check("events" in json.dumps(events), "logs show --type system")
    az("containerapp", "replica", "list", *named, "--revision", revision["name"])
    _check(az("containerapp", "secret", "list", *named) == [{"name": "remora-api-key"}], "secret list")
    az("containerapp", "update", *named, "--set-env-vars", "A=B")
    revisions = az("containerapp", "revision", "list", *named, "--all")
    _check(len(revisions) == 2, f"{len(revisions)} revisions after an update")
    latest = az("containerapp", "show", *named)["properties"]["latestRevisionName"]
    az("containerapp", "revision", "restart", *named, "--revision", latest)


def _files(az: AzureCli, folder: Path, connection: Mapping[str, str], names: Mapping[str, str]) -> None:
    account, share = names["STORAGE_ACCOUNT_NAME"], ("--share-name", names["FILE_SHARE_NAME"])
    (key, _) = az("storage", "account", "keys", "list", *GROUP, "-n", account)
    text = (
        f"DefaultEndpointsProtocol=http;AccountName={account};AccountKey={key['value']};"
        f"FileEndpoint={connection['files_url']}/{account};"
    )
    own = {"AZURE_STORAGE_CONNECTION_STRING": text}
    sent, got = folder / "weights.bin", folder / "got.bin"
    sent.write_bytes(os.urandom(6 * 1024 * 1024))
    az("storage", "directory", "create", *share, "-n", "models", **own)
    az("storage", "file", "upload", *share, "--source", str(sent), "-p", "models/weights.bin", **own)
    listed = az("storage", "file", "list", *share, "-p", "models", **own)
    _check([item["name"] for item in listed] == ["weights.bin"], f"file list: {listed}")
    az("storage", "file", "download", *share, "-p", "models/weights.bin", "--dest", str(got), **own)
    _check(got.read_bytes() == sent.read_bytes(), "the file came back different")


def _remove(az: AzureCli) -> None:
    az("group", "delete", "-n", "work", "--yes", "--no-wait")
    _until(lambda: az("group", "exists", "-n", "work"), False)


def _installed(folder: Path) -> Path:
    """The CLI in a virtual environment of its own."""
    marker, program = folder / ".ready", folder / "bin" / "az"
    if not marker.exists():
        sys.stdout.write(f"installing the Azure CLI into {folder}\n")
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(folder / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", str(REQUIREMENTS)], check=True)
        marker.touch()
    return program


@contextmanager
def _cloud(folder: Path) -> Iterator[dict[str, str]]:
    """A cloud with TLS as a process of its own, and its connection.json."""
    home = folder / "home"
    command = [sys.executable, "-m", "containerapps_emulator", "--home", str(home), "--tls"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        file = home / "cloud" / "connection.json"
        deadline = time.monotonic() + START_SECONDS
        while not file.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise Failed("the local cloud did not start")
            time.sleep(0.05)
        yield json.loads(file.read_text())
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(START_SECONDS)


def _until(ask: Callable[[], Any], wanted: Any) -> None:
    deadline = time.monotonic() + COMMAND_SECONDS
    while (found := ask()) != wanted:
        if time.monotonic() > deadline:
            raise Failed(f"still {found!r}, not {wanted!r}")
        time.sleep(0.5)


def _check(right: bool, what: str) -> None:
    if not right:
        raise Failed(what)


def _json_in(text: str) -> Any:
    """What a command printed: JSON, lines of it, or nothing."""
    try:
        return json.loads(text) if text.strip() else None
    except json.JSONDecodeError:
        return text


if __name__ == "__main__":
    sys.exit(main())
