"""openai-python's own generated tests, unmodified, against the endpoint: where there is a checkout of them.

They are in no wheel, but in the package's source distribution. OPENAI_PYTHON_SRC names a checkout of
openai/openai-python, or that distribution unpacked; OPENAI_PYTHON the interpreter that has that version of
the client, with pytest, pytest-asyncio and rich (else this one):

    pip download --no-deps --no-binary :all: openai==VERSION && tar xzf openai-VERSION.tar.gz
    OPENAI_PYTHON_SRC=$PWD/openai-VERSION make conformance

Every call is made by the sync and by the async client, loose and with strict checking of the answer.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from tests.api.endpoint_builder import RunningEndpoint, adapter

from remora.adapters.adapter import Digest
from remora.project.api_keys import ApiKey
from remora.server.settings import ServerSettings

SOURCE = os.environ.get("OPENAI_PYTHON_SRC", "")
INTERPRETER = os.environ.get("OPENAI_PYTHON", sys.executable)
THEIR_KEY = ApiKey("generated", "My API Key")
THEIR_MODEL = re.compile(r'(?:model=|\.retrieve\(\s*)"([^"]+)"')  # other names in every version
RESOURCES = Path(SOURCE) / "tests" / "api_resources"
FILES = ("test_models.py", "test_completions.py", "chat/test_completions.py", "test_responses.py")
# The aiohttp transport is an extra; stored chat completions, and deleting a model, are not offered.
CHOSEN = "not aiohttp and (create or TestModels or TestAsyncModels) and not delete and not messages"
# Those with all_params send every parameter at once, with values that a strict server refuses: audio,
# moderation, a bias of a token named "foo", max_tokens 0. The others of /v1/responses name no model.
ALL_PARAMS = "method_create_with_all_params"
NO_MODEL = ("method_create", "raw_response_create", "streaming_response_create")
MUST_BE_400 = {
    f"{module}.{kind}{resource}::test_{call}_overload_{overload}[{mode}]"
    for module, resource, calls in (
        ("test_completions", "Completions", (ALL_PARAMS,)),
        ("chat.test_completions", "Completions", (ALL_PARAMS,)),
        ("test_responses", "Responses", (ALL_PARAMS, *NO_MODEL)),
    )
    for call in calls
    for kind in ("Test", "TestAsync")
    for overload in (1, 2)
    for mode in ("loose", "strict")
}


@pytest.mark.skipif(not SOURCE, reason="OPENAI_PYTHON_SRC names no checkout of openai-python")
def test_the_clients_own_tests_pass_but_those_that_must_be_refused(tmp_path: Path) -> None:
    names = {name for file in FILES for name in THEIR_MODEL.findall((RESOURCES / file).read_text("utf-8"))}
    models = [adapter(name, Digest(f"{number:02x}" * 32)) for number, name in enumerate(sorted(names), 1)]
    settings = ServerSettings(api_keys=(THEIR_KEY,), chat_page=False)
    with RunningEndpoint(settings, adapters=models) as endpoint:
        report = run(f"{endpoint.url}/v1", tmp_path / "report.xml")
    refused = {name for name, fault in report.items() if fault}
    assert refused == MUST_BE_400
    assert all("BadRequestError" in report[name] for name in refused)
    assert len(report) >= 120


def run(base_url: str, report: Path) -> dict[str, str]:
    """What every test failed with, empty where it passed."""
    files = [str(RESOURCES / name) for name in FILES]
    options = ["-o", "addopts=", "-p", "no:cacheprovider", "-q", "-W", "ignore", f"--junitxml={report}"]
    environment = {**os.environ, "TEST_API_BASE_URL": base_url, "PYTHONPATH": ""}
    done = subprocess.run(  # noqa: PLW1510 - the report says what failed
        [INTERPRETER, "-m", "pytest", *options, *files, "-k", CHOSEN],
        cwd=SOURCE,
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert report.exists(), done.stdout + done.stderr
    cases = ET.parse(report).getroot().iter("testcase")  # noqa: S314 - written by the command above
    return {_name(case): "".join(each.get("message", "") for each in case.iter("failure")) for case in cases}


def _name(case: ET.Element) -> str:
    return f"{case.get('classname', '').removeprefix('tests.api_resources.')}::{case.get('name')}"
