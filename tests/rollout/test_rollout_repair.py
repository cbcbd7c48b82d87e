"""What is damaged on a share, and what is gone: the message names a command, and that command works.

The tests build on one another in order.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from tests.cli.command import Ran
from tests.cli.in_process import Caller
from tests.cli.trained_folder import make_adapter
from tests.rollout.scripted_project import ScriptedProject, make_scripted_project

from remora.cli.commands.status import _forget_probes
from remora.rollout.revision.candidate import ADAPTERS_VARIABLE
from remora.rollout.revision.restart import restart_replicas

RESTART_SECONDS = 300

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedProject]:
    """Deployed; beside it lies a second adapter."""
    project = make_scripted_project(tmp_path_factory.mktemp("repair"))
    make_adapter(project.root.parent, "joke")
    yield project
    project.user.run("cloud", "stop")


def test_a_deploy_warns_where_nobody_measured_what_an_adapter_changes(project: ScriptedProject) -> None:
    """These replicas report no proof and no probabilities."""
    code, panel, told = Caller(project.user.home).printed("deploy", str(project.root))
    assert code == 0, told
    assert "Warning: it is not known whether adapter 'tone' changes" in told
    assert "tone  unknown: the endpoint does not report it" in panel


def follow(project: ScriptedProject, refused: Ran) -> dict[str, Any]:
    """Run the command that a refusal names, as a program does."""
    assert refused.code != 0
    remora, *words = refused.document["next"]
    assert remora == "remora"
    ran = project.user.run(*words)
    assert ran.code == 0, (words, ran.document, ran.stderr)
    return ran.document


def test_a_long_name_in_another_alphabet_fits_the_lock(project: ScriptedProject) -> None:
    folder = project.root.parent / ("長" * 80) / ("ö'\x1b" * 50) / ("\\" * 200)
    folder.parent.mkdir(parents=True)
    folder.symlink_to(project.root)
    ran = project.user.run("deploy", str(folder))
    assert ran.code == 0, (ran.document, ran.stderr)
    assert project.user.run("history", str(folder)).code == 0


def test_what_was_pushed_since_the_deploy_is_part_of_what_is_repaired(project: ScriptedProject) -> None:
    joke = project.root.parent / "adapters" / "joke"
    # These replicas read their aliases as they start: nothing is waited for, and they are restarted.
    pushed = project.user.run("adapters", "push", "joke", str(joke), str(project.root), "--no-wait")
    assert pushed.code == 0, pushed.document
    restart_replicas(project.app(), project.serving().name, timeout_seconds=RESTART_SECONDS, say=Said())
    while "joke" not in served(project):
        pass  # a replica that starts later would read what the next test has damaged


class Said:
    """What a wait tells, which nobody reads here."""

    def now(self, text: str) -> None: ...

    def reason(self, text: str) -> None: ...


def served(project: ScriptedProject) -> set[str]:
    models = project.user.run("status", str(project.root)).document["models"]
    return {model["id"] for model in models}


@pytest.mark.parametrize("damage", [b'{"$generation": 41, "tone": {', b"[]", b'{"tone": {"digest": "../x"}}'])
def test_damaged_aliases_are_rebuilt(project: ScriptedProject, damage: bytes) -> None:
    file = project.share / "aliases.json"
    before = json.loads(file.read_text())
    assert set(before) == {"$generation", "tone", "joke"}
    file.write_bytes(damage)
    done = follow(project, project.user.run("deploy", str(project.root)))
    assert done["repaired"] == [".remora/aliases.json"]
    assert (file.parents[1] / done["kept"][0]).read_bytes() == damage
    after = json.loads(file.read_text())
    digests = {name: entry["digest"] for name, entry in before.items() if name != "$generation"}
    assert {name: entry["digest"] for name, entry in after.items() if name != "$generation"} == digests
    assert after["$generation"] >= before["$generation"]
    assert b"41" not in damage or after["$generation"] > 41


def test_a_damaged_manifest_is_rebuilt(project: ScriptedProject) -> None:
    file = project.share / "manifest.json"
    before = json.loads(file.read_text())["files"]
    file.write_text("{ not json")
    done = follow(project, project.user.run("adapters", "list", str(project.root)))
    assert done["repaired"] == [".remora/manifest.json"]
    after = json.loads(file.read_text())["files"]
    assert after == {path: entry for path, entry in before.items() if "/adapters/" in path}
    assert len(project.user.run("adapters", "list", str(project.root)).document["adapters"]) == 2
    project.deploy()
    assert json.loads(file.read_text())["files"] == before


def test_a_damaged_set_of_the_serving_revision_is_repaired(project: ScriptedProject) -> None:
    set_id = project.serving().environment[ADAPTERS_VARIABLE]
    path = f".remora/alias-sets/{set_id}.json"
    for command in ("list", "gc"):
        (project.share.parent / path).write_text("{")
        done = follow(project, project.user.run("adapters", command, str(project.root)))
        assert [*done["repaired"], *done["put_aside"]] == [path]
    project.deploy()


def test_a_release_that_cannot_be_rebuilt_is_uploaded_again(project: ScriptedProject) -> None:
    (file,) = project.share.glob("releases/*/release.json")
    before = file.read_bytes()
    file.write_text("{")
    done = follow(project, project.user.run("adapters", "gc", str(project.root)))
    assert done["put_aside"] == [f".remora/releases/{file.parent.name}/release.json"]
    project.deploy()
    assert file.read_bytes() == before


def test_nothing_damaged_is_nothing_to_do(project: ScriptedProject) -> None:
    (project.share / "history" / "9999-broken.json").write_text("{")
    assert project.user.run("adapters", "repair", str(project.root)).document["repaired"] == []
    assert project.user.run("history", str(project.root)).code == 0


def test_an_address_is_printed_only_where_the_endpoint_answers(project: ScriptedProject) -> None:
    config = project.root / "infra" / "inference.config.json"
    document = json.loads(config.read_text())
    config.write_text(json.dumps({**document, "ACA_APP_ENDPOINT": "127.0.0.1:9"}))
    opened = project.user.run("open", str(project.root), "--print")
    assert opened.document["url"] == f"http://{document['ACA_APP_ENDPOINT']}"
    assert project.user.run("status", str(project.root)).document["answers"] is True


def test_the_page_of_another_program_is_not_opened(project: ScriptedProject) -> None:
    """It took the port while the cloud was off: the endpoint moves, or is said not to answer."""
    address = project.app().read().fqdn
    assert project.user.run("cloud", "stop").code == 0
    with serving_page(int(address.rpartition(":")[2])):
        opened = project.user.run("open", str(project.root), "--print")
        if opened.code == 0:
            assert address not in opened.document["url"]
        else:
            assert (opened.code, opened.document["error"]["code"]) == (7, "not_ready"), opened
    assert project.user.run("cloud", "stop").code == 0


@contextmanager
def serving_page(port: int) -> Iterator[None]:
    page = "<h1>Somebody else's page</h1>"

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(page)))
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", port), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


def test_probe_failures_from_before_it_answered_are_not_told() -> None:
    old = "Readiness probe failed: connection refused"
    document = {
        "replicas": [{"details": f"{old}; out of memory"}, {"details": old}],
        "revision": {"details": "liveness probe failed: timeout; Startup probe failed: 503"},
    }
    _forget_probes(document)
    assert document == {
        "replicas": [{"details": "out of memory"}, {"details": ""}], "revision": {"details": ""}
    }  # fmt: skip


def test_on_the_local_cloud_nothing_is_asked_and_no_table_is_shown(project: ScriptedProject) -> None:
    quiet = project.user.run("provision", str(project.root), "-o", "jsonl")
    assert quiet.code == 0
    assert "remora.question" not in quiet.stderr
    assert "maximumInstanceCount" not in quiet.stderr
    told = project.user.run("provision", str(project.root), "-v", "-o", "json")
    assert "maximumInstanceCount" in told.stderr


def test_after_a_failed_rollout_the_logs_are_those_of_what_serves(project: ScriptedProject) -> None:
    project.fault("stuck_replica")
    project.change_settings(queued=9)
    assert project.user.run("deploy", str(project.root), "--timeout", "3").code == 7
    shown = project.user.start("logs", str(project.root))
    _, said = shown.communicate(timeout=400)
    assert shown.returncode == 0, said


@pytest.mark.parametrize("command", ["status", "open", "logs", "chat"])
def test_after_down_the_way_back_is_named(project: ScriptedProject, command: str) -> None:
    if project.app().exists():
        assert project.user.run("down", str(project.root), "--yes").code == 0
    extra = ["--message", "hi"] if command == "chat" else []
    ran = project.user.run(command, str(project.root), *extra)
    assert (ran.code, ran.document["error"]["code"]) == (3, "deployment_not_found")
    assert "it was deleted, or never created" in ran.message
    assert "ResourceNotFound" not in ran.message
    assert ran.document["next"] == ["remora", "up", str(project.root)]
