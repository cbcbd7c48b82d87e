"""`python -m tests.conformance.sdk_file_share FOLDER`: the Azure SDK's own tests of file shares, unmodified
and live against the local cloud.

FOLDER is `tests` of the source archive of azure-storage-file-share, as `make sdk-file-share` unpacks it. What
these tests import to run has a stand-in beside this file. Prints how many passed, and why others did not.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tests.emulator.arm.conftest import RunningCloud, running_cloud

STANDINS = Path(__file__).with_name("standins")
GROUP = "sdk"
ACCOUNTS = {  # what the tests call an account, its name here, SKU and kind
    "STORAGE_ACCOUNT": ("sdkstandard", "Standard_LRS", "StorageV2"),
    "PREMIUM_STORAGE_FILE_ACCOUNT": ("sdkpremium", "Premium_LRS", "FileStorage"),
    "SECONDARY_STORAGE_ACCOUNT": ("sdksecondary", "Standard_RAGRS", "StorageV2"),
}
OPTIONS = (
    *("-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", "-o", "python_files=test_*.py"),
    *("-W", "ignore", "--timeout", "120", "--tb", "short", "-m", "not playback_test_only"),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One test: "passed", "skipped" or "failed", and the last line of why."""

    name: str
    outcome: str
    reason: str = ""


def run(folder: Path, arguments: list[str]) -> list[Outcome]:
    """Run the tests of a folder against a local cloud that is made for it."""
    with tempfile.TemporaryDirectory() as home, running_cloud(Path(home) / "cloud", tls=True) as cloud:
        report = Path(home) / "report.xml"
        command = [sys.executable, "-m", "pytest", *OPTIONS, f"--junitxml={report}", "--rootdir", str(folder)]
        subprocess.run(
            [*command, *(arguments or [str(folder)])], env=_environment(cloud, folder), check=False
        )
        return list(_outcomes(report))


def _environment(cloud: RunningCloud, folder: Path) -> dict[str, str]:
    cloud.resources().resource_groups.create_or_update(GROUP, {"location": "westeurope"})
    accounts = cloud.storage().storage_accounts
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(STANDINS), str(folder), str(folder.parents[1] / "site"))),
        "STORAGE_FILES_URL": cloud.connection.files_tls_url or "",
        "REQUESTS_CA_BUNDLE": cloud.connection.ca_file or "",
        "SSL_CERT_FILE": cloud.connection.ca_file or "",
        "IDENTITY_ENDPOINT": cloud.connection.identity_endpoint or "",
        "IDENTITY_HEADER": cloud.connection.identity_header or "",
    }
    for prefix, (name, sku, kind) in ACCOUNTS.items():
        parameters = {"location": "westeurope", "sku": {"name": sku}, "kind": kind}
        accounts.begin_create(GROUP, name, parameters).result()
        environment[f"{prefix}_NAME"] = name
        environment[f"{prefix}_KEY"] = accounts.list_keys(GROUP, name)["keys"][0]["value"]
    return environment


def _outcomes(report: Path) -> Iterator[Outcome]:
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - pytest wrote it
        name = f"{case.get('classname')}.{case.get('name')}"
        for kind, outcome in (("skipped", "skipped"), ("failure", "failed"), ("error", "failed")):
            element = case.find(kind)
            if element is not None:
                yield Outcome(name, outcome, " ".join((element.get("message") or "").split())[:300])
                break
        else:
            yield Outcome(name, "passed")


def main(arguments: list[str]) -> int:
    folder, *others = arguments
    outcomes = run(Path(folder).absolute(), others)
    for item in outcomes:
        if item.outcome == "failed":
            sys.stdout.write(f"{item.name}\n    {item.reason}\n")
    for sync, title in ((True, "synchronous"), (False, "asynchronous")):
        counts = Counter(item.outcome for item in outcomes if ("async" in item.name.lower()) != sync)
        sys.stdout.write(f"{title}: {dict(counts)}\n")
    refused = sum(bool(re.search("NotImplemented|not supported", item.reason)) for item in outcomes)
    sys.stdout.write(f"refused by name: {refused}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
