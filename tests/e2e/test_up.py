"""The whole path, as a user walks it: a folder, one command, an answering endpoint, and what can go wrong.

One project and one local cloud for the whole file; the tests build on one another in order.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from playwright.sync_api import Browser, expect
from tests.e2e.conftest import PATIENCE_MS

EXAMPLE = Path(__file__).parents[2] / "examples" / "tone"
SIX_KEYS = (
    "SUBSCRIPTION_ID",
    "RESOURCE_GROUP_NAME",
    "STORAGE_ACCOUNT_NAME",
    "FILE_SHARE_NAME",
    "ACA_APP_NAME",
    "ACA_APP_ENDPOINT",
)
COMMAND_SECONDS = 600
PHRASE = "I finally got the job I wanted"


@dataclass(frozen=True, slots=True)
class Ran:
    """A finished command: its exit code, its JSON document, and what it said on stderr."""

    code: int
    document: dict[str, Any]
    stderr: str
    seconds: float


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with a project folder and a Remora home of their own."""

    project: Path
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("AZURE_", "REMORA_"))}
        return {**clean, "REMORA_HOME": str(self.home), "OMP_NUM_THREADS": "2"}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "remora", *arguments]
        return subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *arguments: str) -> Ran:
        started = time.monotonic()
        process = self.start(*arguments, "--output", "json")
        stdout, stderr = process.communicate(timeout=COMMAND_SECONDS)
        assert "Traceback" not in stderr, stderr
        document = json.loads(stdout) if stdout.strip() else {}
        return Ran(process.returncode, document, stderr, time.monotonic() - started)

    def ok(self, *arguments: str) -> dict[str, Any]:
        ran = self.run(*arguments)
        assert ran.code == 0, (ran.document, ran.stderr)
        return ran.document

    @property
    def config_file(self) -> Path:
        return self.project / "infra" / "inference.config.json"

    @property
    def config(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.config_file.read_text())
        return document

    def cloud_process(self) -> int:
        return int(json.loads((self.home / "cloud" / "connection.json").read_text())["pid"])

    @property
    def share(self) -> Path:
        shares = self.home / "cloud" / "shares"
        return Path(shares / self.config["STORAGE_ACCOUNT_NAME"] / self.config["FILE_SHARE_NAME"])

    def shared_files(self) -> dict[str, int]:
        """Every file on the share with its modification time: what a deploy really touched."""
        found = (path for path in self.share.rglob("*") if path.is_file())
        return {path.relative_to(self.share).as_posix(): path.stat().st_mtime_ns for path in found}


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    folder = tmp_path_factory.mktemp("up")
    project = folder / "tone"
    shutil.copytree(EXAMPLE, project)
    somebody = User(project, folder / "home")
    yield somebody
    somebody.run("cloud", "stop")


@pytest.fixture(scope="module")
def first_up(user: User) -> dict[str, Any]:
    return user.ok("up", str(user.project), "--yes")


def answers_of(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {entry["model"]: entry for entry in document["answers"]}


def test_one_command_ends_with_answers_from_the_base_and_every_adapter(first_up: dict[str, Any]) -> None:
    answers = answers_of(first_up)
    assert answers["tone"]["answer"].strip() in {"joy", "sadness", "fear", "anger", "surprise"}
    assert len(answers["tone"]["adapter_digest"]) == 64
    bases = [entry for entry in answers.values() if entry["adapter_digest"] is None]
    assert len(bases) == 1
    assert bases[0]["answer"] != answers["tone"]["answer"]
    assert first_up["new_revision"] is True


def test_the_six_outputs_are_written_down(user: User, first_up: dict[str, Any]) -> None:
    assert [key for key in SIX_KEYS if not user.config[key]] == []
    assert "://" not in user.config["ACA_APP_ENDPOINT"]
    assert first_up["endpoint"] == f"http://{user.config['ACA_APP_ENDPOINT']}/v1"


def test_nothing_changed_means_nothing_done(user: User, first_up: dict[str, Any]) -> None:
    before = user.shared_files()
    second = user.ok("up", str(user.project), "--yes")
    assert second["new_revision"] is False
    assert second["revision"] == first_up["revision"]
    assert second["uploaded"] == {"files": 0, "bytes": 0}
    after = user.shared_files()
    assert before.pop(".remora/lock") < after.pop(".remora/lock")
    assert after == before


def test_a_stranger_is_not_answered(user: User, first_up: dict[str, Any]) -> None:
    body = {"model": "tone", "messages": [{"role": "user", "content": "Hooray"}]}
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        answer = httpx.post(f"{first_up['endpoint']}/chat/completions", json=body, headers=headers)
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"


@pytest.fixture
def client(user: User, first_up: dict[str, Any]) -> Iterator[openai.OpenAI]:
    key = user.ok("secrets", str(user.project))["api_key"]
    with openai.OpenAI(base_url=first_up["endpoint"], api_key=key, max_retries=0) as client:
        yield client


def test_the_openai_client_gets_the_adapter_and_the_base(client: openai.OpenAI) -> None:
    models = [model.id for model in client.models.list()]
    assert "tone" in models
    prompt: Any = [{"role": "user", "content": PHRASE}]
    texts = {}
    for model in (models[0], "tone"):
        whole = client.chat.completions.create(model=model, messages=prompt, temperature=0, max_tokens=40)
        streamed = client.chat.completions.create(
            model=model, messages=prompt, temperature=0, max_tokens=40, stream=True
        )
        pieces = [chunk.choices[0].delta.content or "" for chunk in streamed if chunk.choices]
        texts[model] = whole.choices[0].message.content
        assert "".join(pieces) == texts[model]
    assert texts["tone"] != texts[models[0]]
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="no-such-model", messages=prompt)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    file = tmp_path / "pairs.jsonl"
    file.write_text(json.dumps({"prompt": PHRASE, "answer": "joy"}) + "\n")
    return file


def test_eval_tells_adapter_and_base_apart(user: User, first_up: dict[str, Any], pairs: Path) -> None:
    document = user.ok("eval", str(user.project), "--pairs", str(pairs))
    scores = {entry["model"]: entry for entry in document["models"]}
    base = next(model for model, entry in answers_of(first_up).items() if entry["adapter_digest"] is None)
    assert (scores["tone"]["accuracy"]["value"], scores[base]["accuracy"]["value"]) == (1.0, 0.0)
    assert scores["tone"]["nll"]["value"] < scores[base]["nll"]["value"]
    assert scores["tone"]["adapter_digest"] == answers_of(first_up)["tone"]["adapter_digest"]
    shown = plainly(user, "eval", str(user.project), "--pairs", str(pairs), "--model", "tone")
    assert "1.000 (1.000 … 1.000)" in shown


def test_env_hands_the_endpoint_over(user: User, first_up: dict[str, Any]) -> None:
    project = str(user.project)
    key = user.ok("secrets", project)["api_key"]
    document = user.ok("env", project, "--with-key")
    assert document["variables"]["OPENAI_BASE_URL"] == first_up["endpoint"]
    assert document["variables"]["OPENAI_API_KEY"] == key
    assert document["variables"]["OPENAI_MODEL"] == document["models"][1]
    assert document["models"] == document["variables"]["REMORA_MODELS"].split(",")
    table, exported = plainly(user, "env", project), plainly(user, "env", project, "--export")
    rest = plainly(user, "env", project, "--dotenv") + plainly(user, "env", project, "--json")
    assert key not in table + exported + rest
    assert f'OPENAI_API_KEY="{key}"' in plainly(user, "env", project, "--dotenv", "--with-key")
    # The shell asks for the key itself, so that it is in no output of ours.
    program = (
        "import openai\nwith openai.OpenAI() as client: print(*[model.id for model in client.models.list()])"
    )
    line = 'eval "$1"; "$2" -c "$3"; printf %s "$OPENAI_MODEL"'
    found = subprocess.run(
        ["sh", "-c", line, "sh", exported, sys.executable, program],
        env={**user.environment, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=COMMAND_SECONDS,
    )
    assert found.stdout.splitlines() == [" ".join(document["models"]), document["models"][1]]


def plainly(user: User, *arguments: str) -> str:
    """What a command prints for people."""
    process = user.start(*arguments)
    printed, said = process.communicate(timeout=COMMAND_SECONDS)
    assert process.returncode == 0, said
    return printed


def test_status_chat_logs_and_open_say_what_is(user: User, first_up: dict[str, Any]) -> None:
    status = user.ok("status", str(user.project))
    assert status["answers"] is True
    assert status["revision"]["name"] == first_up["revision"]
    assert [replica["state"] for replica in status["replicas"]] == ["Running"]
    chat = user.ok(
        "chat", str(user.project), "--model", "tone", "--message", "I finally got the job I wanted"
    )
    assert chat["answer"].strip() == "joy"
    assert user.ok("open", str(user.project), "--print")["url"] == first_up["endpoint"].removesuffix("/v1")
    process = user.start("logs", str(user.project))
    printed, _ = process.communicate(timeout=COMMAND_SECONDS)
    assert process.returncode == 0
    assert "ready on" in printed
    assert user.ok("secrets", str(user.project))["api_key"] not in printed


@pytest.mark.browser
def test_the_deployed_chat_page_answers_streams_and_stops(
    user: User, first_up: dict[str, Any], browser: Browser, tmp_path: Path
) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(PATIENCE_MS)
    page.goto(user.ok("open", str(user.project), "--print")["url"])
    page.fill("#key", user.ok("secrets", str(user.project))["api_key"])
    page.click("button")
    base = next(model for model, entry in answers_of(first_up).items() if entry["adapter_digest"] is None)
    for count, model in enumerate((base, "tone"), start=1):
        page.click("#model input")
        page.get_by_role("option", name=f"{model} ·").click()
        expect(page.locator("#question .submit-button")).to_be_visible()
        page.fill("#question textarea", PHRASE)
        page.press("#question textarea", "Enter")
        expect(page.locator(".answer-facts")).to_have_count(count)
    digest = answers_of(first_up)["tone"]["adapter_digest"]
    expect(page.locator(".answer-facts").last).to_contain_text(f"tone@{digest[:12]}")
    expect(page.locator("#chat .bot").last).to_contain_text("joy")
    page.screenshot(path=pictures(tmp_path) / "chat.png")
    page.click("#model input")
    page.get_by_role("option", name=f"{base} ·").click()
    expect(page.locator("#question .submit-button")).to_be_visible()
    page.fill("#question textarea", "Tell me a long story")
    page.press("#question textarea", "Enter")
    expect(page.locator("#chat .bot").last).to_contain_text("Once upon a time")
    page.click("#question .stop-button")
    expect(page.locator(".answer-facts").last).to_contain_text("· stopped")
    page.close()


@pytest.mark.browser
def test_the_deployed_side_by_side_page_shows_what_the_adapter_changes(
    user: User, first_up: dict[str, Any], browser: Browser, tmp_path: Path
) -> None:
    url = user.ok("open", str(user.project), "--print")["url"]
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.request.post(f"{url}/login", form={"key": user.ok("secrets", str(user.project))["api_key"]})
    page.goto(f"{url}/side-by-side")
    examples = page.get_by_role("group", name="Example prompts").get_by_role("button")
    expect(examples.filter(has_text="My sister won the chess tournament.")).to_have_count(1)
    page.locator(".model").nth(1).select_option("tone")
    page.fill("#message", PHRASE)
    page.press("#message", "Enter")
    expect(page.locator(".answer p").nth(1)).to_contain_text("joy")
    page.get_by_role("button", name="Token colours").click()
    page.locator(".colours [role=group]").press("ArrowRight")
    expect(page.locator(".likeliest")).to_contain_text("joy")
    page.screenshot(path=pictures(tmp_path) / "side-by-side.png")
    page.close()


def pictures(usually: Path) -> Path:
    """Where a picture for the documentation goes: REMORA_PICTURES=docs/images makes it anew."""
    return Path(os.environ.get("REMORA_PICTURES") or usually)


def test_one_byte_of_one_adapter_uploads_that_adapter_only(
    user: User, first_up: dict[str, Any], pairs: Path
) -> None:
    weights = user.project / "adapters" / "tone" / "adapter_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-2] ^= 1
    weights.write_bytes(data)
    before = user.shared_files()
    changed = user.ok("up", str(user.project), "--yes")
    after = user.shared_files()
    assert changed["new_revision"] is True
    digest = answers_of(changed)["tone"]["adapter_digest"]
    assert digest != answers_of(first_up)["tone"]["adapter_digest"]
    fresh = {path for path, time_ns in after.items() if before.get(path) != time_ns}
    parts = sorted(weights.parent.glob("adapter_*"))
    adapter_files = {f".remora/adapters/tone/{digest}/{path.name}" for path in parts}
    told = {path for path in fresh if path.startswith((".remora/history/", ".remora/alias-sets/"))}
    assert len(told) == 2
    assert fresh - told == adapter_files | {
        f".remora/{name}" for name in ("manifest.json", "aliases.json", "lock")
    }
    assert changed["uploaded"] == {"files": len(parts), "bytes": sum(path.stat().st_size for path in parts)}
    asked = ("eval", str(user.project), "--pairs", str(pairs), "--model", "tone@previous", "--model", "tone")
    evaluated = user.ok(*asked)["models"]
    former = answers_of(first_up)["tone"]["adapter_digest"]
    assert [(each["model"], each["adapter_digest"]) for each in evaluated] == [
        ("tone", former),
        ("tone", digest),
    ]
    names = [model["id"] for model in user.ok("status", str(user.project))["models"]]
    assert not [name for name in names if "@" in name]  # a former version is asked, and not listed


def test_keys_come_and_go_by_name_and_only_the_admins_changes_adapters(
    user: User, first_up: dict[str, Any]
) -> None:
    project = ("--project", str(user.project))
    first = user.ok("secrets", str(user.project))["api_key"]
    admin = user.ok("keys", "show", "admin", *project)["key"]
    assert [key["name"] for key in user.ok("keys", "list", *project)["keys"]] == ["key-1", "admin"]
    assert unloading(first_up, first) == (403, "admin_key_required")
    assert unloading(first_up, admin) == (404, "model_not_found")
    alice = user.ok("keys", "add", "alice", *project)["key"]
    user.ok("keys", "rm", "key-1", *project, "--yes")
    assert unloading(first_up, alice) == (401, "invalid_api_key")
    assert unloading(first_up, first) == (403, "admin_key_required")
    assert user.ok("deploy", str(user.project))["new_revision"] is True
    assert unloading(first_up, alice) == (403, "admin_key_required")
    assert unloading(first_up, first) == (401, "invalid_api_key")
    assert unloading(first_up, admin) == (404, "model_not_found")
    printed, _ = user.start("logs", str(user.project)).communicate(timeout=COMMAND_SECONDS)
    shown = "".join([printed, *shared_texts(user), *command_lines()])
    assert "ready on" in shown
    assert [key for key in (first, alice, admin) if key in shown] == []


def unloading(first_up: dict[str, Any], key: str) -> tuple[int, str]:
    """Status and code where this key asks to unload an adapter that is not there."""
    answer = httpx.post(
        f"{first_up['endpoint']}/unload_lora_adapter",
        json={"lora_name": "no-such-adapter"},
        headers={"Authorization": f"Bearer {key}"},
    )
    return answer.status_code, answer.json()["error"]["code"]


def shared_texts(user: User) -> Iterator[str]:
    for path in user.share.rglob("*"):
        if path.is_file():
            yield path.read_bytes().decode("latin-1")


def command_lines() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            yield path.read_bytes().decode("latin-1")


def test_a_config_filled_in_by_hand_is_enough_to_deploy(user: User) -> None:
    names = {key: user.config[key] for key in SIX_KEYS[:-1]}
    shutil.rmtree(user.project / "infra")
    user.config_file.parent.mkdir()
    user.config_file.write_text(json.dumps({**names, "ACA_APP_ENDPOINT": None, "MINE": 1}))
    deployed = user.ok("deploy", str(user.project))
    assert deployed["new_revision"] is False
    assert user.config["ACA_APP_ENDPOINT"] in deployed["endpoint"]
    assert user.config["MINE"] == 1


def test_a_killed_cloud_comes_back_with_its_app(user: User) -> None:
    revision = user.ok("status", str(user.project))["revision"]["name"]
    os.kill(user.cloud_process(), signal.SIGKILL)
    status = user.ok("status", str(user.project))
    assert status["answers"] is True
    assert status["revision"]["name"] == revision


def test_a_cloud_killed_in_the_middle_of_a_deploy_loses_nothing(user: User) -> None:
    settings = user.project / "remora.toml"
    settings.write_text(settings.read_text() + "\n[serve]\nmax_queued_requests = 65\n")
    before = user.ok("status", str(user.project))["serving_revision"]
    deploying = user.start("deploy", str(user.project), "--output", "json")
    wait_until(lambda: newest_revision(user) != before)
    os.kill(user.cloud_process(), signal.SIGKILL)
    stdout, stderr = deploying.communicate(timeout=COMMAND_SECONDS)
    assert "Traceback" not in stderr
    assert json.loads(stdout)["error"]["code"] == "cloud_unavailable"
    assert deploying.returncode == 7
    again = user.ok("deploy", str(user.project))
    assert again["revision"] != before
    assert answers_of(again)["tone"]["answer"]


def newest_revision(user: User) -> str:
    """Asked of the control plane itself, so that it is seen while another command is at work."""
    connection = json.loads((user.home / "cloud" / "connection.json").read_text())
    app = (
        f"/subscriptions/{user.config['SUBSCRIPTION_ID']}/resourceGroups/{user.config['RESOURCE_GROUP_NAME']}"
        f"/providers/Microsoft.App/containerApps/{user.config['ACA_APP_NAME']}"
    )
    answer = httpx.get(
        f"{connection['arm_url']}{app}",
        params={"api-version": "2025-07-01"},
        headers={"Authorization": f"Bearer {connection['token']}"},
    )
    return str(answer.json()["properties"]["latestRevisionName"])


def test_bad_projects_are_refused_and_the_old_revision_goes_on(user: User) -> None:
    revision = user.ok("status", str(user.project))["revision"]["name"]
    weights = user.project / "adapters" / "tone" / "adapter_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    refused = user.run("deploy", str(user.project))
    assert refused.code == 5
    assert refused.document["error"]["code"] == "adapter_rejected"
    assert "adapter_model.safetensors" in refused.document["error"]["message"]
    weights.write_bytes(whole)
    status = user.ok("status", str(user.project))
    assert status["answers"] is True
    assert status["revision"]["name"] == revision


def test_down_removes_the_app_and_keeps_the_share(user: User) -> None:
    refused = user.run("down", str(user.project))
    assert refused.code == 2
    assert "--yes" in refused.document["error"]["hint"]
    user.ok("down", str(user.project), "--yes")
    assert user.run("status", str(user.project)).code == 3
    assert ".remora/aliases.json" in user.shared_files()


def wait_until(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
