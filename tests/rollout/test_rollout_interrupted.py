"""Rollouts that are interrupted, killed, cut off, or in each other's way: what serves goes on serving.

`REMORA_KILL_ROUNDS=200` for the long version; the seed is printed and can be given as REMORA_KILL_SEED.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.cli.command import User, finish
from tests.rollout.scripted_project import (
    ROUNDS,
    ScriptedProject,
    asking_about,
    make_scripted_project,
    release_of,
)

from remora.adapters.aliases import AliasSet, read_aliases
from remora.adapters.digest import adapter_digest
from remora.adapters.store import adapter_folder
from remora.rollout.share.garbage import KEPT_REVISIONS

SLOW_SECONDS = 20
STEPS = ("reading", "comparing", "uploading", "starting a new", "checking", "switching", "asking")
FAR_SECONDS = 140  # the SDKs try again for a while
pytestmark = pytest.mark.timeout(150 + 20 * ROUNDS)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedProject]:
    project = make_scripted_project(tmp_path_factory.mktemp("interrupted"))
    yield project
    project.user.run("cloud", "stop")


def wait_for(process: subprocess.Popen[str], label: str) -> None:
    """Until the command says that it has begun a step."""
    assert process.stderr is not None
    for line in process.stderr:
        if label in line:
            return
    pytest.fail(f"it ended and never said {label!r}")


def test_an_app_in_single_mode_is_switched_first_and_nothing_notices(project: ScriptedProject) -> None:
    before = project.serving().name
    project.set_single_mode()
    project.change_settings(3)
    with asking_about(project) as asked:
        ran = project.user.run("deploy", str(project.root))
    assert ran.code == 0, ran
    assert f"switching the app to Multiple revision mode and pinning the traffic to {before}" in ran.stderr
    assert asked.failures == []
    assert project.app().read().traffic.is_pinned
    assert project.running() == [before, project.serving().name]


def test_two_deploys_at_once_one_wins_and_the_other_says_who_holds_the_lock(project: ScriptedProject) -> None:
    project.change_settings(5)
    project.fault("slow_start", seconds=SLOW_SECONDS)
    first = project.start_deploy()
    wait_for(first, "starting a new revision")
    second = project.user.run("deploy", str(project.root))
    assert second.code == 9
    assert f"pid {first.pid}" in second.message
    assert "remora deploy" in second.message
    first.send_signal(signal.SIGINT)
    assert finish(first).code == 130


@pytest.mark.parametrize("label", ["uploading", "starting a new", "switching", "models answered"])
def test_ctrl_c_at_any_step_leaves_the_old_or_the_new_and_nothing_between(
    project: ScriptedProject, label: str
) -> None:
    before, running = project.serving(), project.running()
    project.change_settings(len(label))
    with asking_about(project) as asked:
        deploying = project.start_deploy()
        wait_for(deploying, label)
        deploying.send_signal(signal.SIGINT)
        ran = finish(deploying)
    assert asked.failures == []
    after = project.serving()
    if ran.code == 130 and after.name != before.name:  # the signal came after the switch
        assert f"the traffic is on {after.name} already" in ran.message
        assert project.deploy()["new_revision"] is False
        assert project.running() == [before.name, after.name]
    elif ran.code == 130:
        assert project.running() == running
        assert "the previous revision still serves" in ran.message
    else:  # the signal came when all was done and printed
        assert ran.code in (0, -signal.SIGINT)
        assert project.running() == [before.name, after.name]


def test_a_full_share_is_said_before_anything_serves_it(project: ScriptedProject) -> None:
    before = project.serving().name
    project.change_settings(50)
    project.change_adapter()
    project.fault("share_full", times=100)
    ran = project.user.run("deploy", str(project.root))
    project.fault("share_full", times=0)
    assert (ran.code, ran.document["error"]["code"]) == (1, "disk_full")
    assert project.serving().name == before
    assert project.deploy()["new_revision"] is True


def test_a_lost_network_leaves_a_candidate_that_the_next_deploy_takes_up(
    project: ScriptedProject, tmp_path: Path
) -> None:
    before = project.serving().name
    project.change_settings(51)
    project.fault("slow_start", seconds=3)
    with asking_about(project) as asked:
        with wire_to(project, tmp_path) as (far, cut):
            deploying = far.start("deploy", str(project.root))
            wait_for(deploying, "starting a new revision")
            while project.app().read().latest_revision == before:
                time.sleep(0.02)
            cut.set()
            ran = finish(deploying, FAR_SECONDS)
        assert ran.code == 7, ran
        assert project.serving().name == before
        candidate = project.app().read().latest_revision
        assert candidate in project.running()
        again = project.deploy()
    assert asked.failures == []
    assert again["revision"] == candidate
    assert project.serving().name == candidate


def test_what_an_interrupted_rollout_left_is_stopped_by_a_deploy_of_something_else(
    project: ScriptedProject,
) -> None:
    project.change_settings(52)
    project.fault("slow_start", seconds=SLOW_SECONDS)
    before = project.app().read().latest_revision
    deploying = project.start_deploy()
    while project.app().read().latest_revision == before:
        time.sleep(0.02)
    deploying.kill()
    deploying.communicate()
    stray = project.app().read().latest_revision
    project.change_settings(53)
    project.deploy()
    assert stray not in project.running()


def test_a_rollout_killed_after_its_switch_is_ended_by_the_next_deploy(project: ScriptedProject) -> None:
    project.deploy()
    served = [release_of(project.serving())]
    for number in (54, 55):
        project.change_settings(number)
        deploying = project.start_deploy()
        wait_for(deploying, "asking the endpoint")
        deploying.kill()
        deploying.communicate()
        served.append(release_of(project.serving()))
    assert len({*served}) == 3
    project.deploy()
    assert [release_of(project.app().revision(name)) for name in project.running()] == served[1:]
    newest = project.history()[0]
    assert (newest["what"], newest["from"], newest["to"]) == ("deploy", *served[1:])
    back = project.user.run("rollback", "--folder", str(project.root))
    assert (back.code, release_of(project.serving())) == (0, served[1])


def test_what_was_switched_to_is_listed_before_the_aliases_say_it(project: ScriptedProject) -> None:
    """As a kill between the two leaves it: the traffic switched, `aliases.json` of before."""
    aliases, root = project.share / "aliases.json", str(project.root)
    before = aliases.read_bytes()
    project.change_adapter()
    project.deploy()
    switched = project.aliases()["tone"]["digest"]
    aliases.write_bytes(before)
    assert project.aliases()["tone"]["digest"] != switched
    listed = project.user.run("adapters", "list", "--project", root).document["adapters"]
    assert [each["digest"] for each in listed if each["state"] == "current"] == [switched]
    assert project.deploy()["new_revision"] is False
    assert project.aliases()["tone"]["digest"] == switched


def test_killed_at_any_moment_the_endpoint_answers_and_the_aliases_are_whole(
    project: ScriptedProject,
) -> None:
    seed = int(os.environ.get("REMORA_KILL_SEED", str(random.SystemRandom().randrange(10**6))))
    sys.stdout.write(f"REMORA_KILL_SEED={seed}\n")
    chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
    with asking_about(project) as asked:
        for number in range(ROUNDS):
            project.change_settings(200 + number)
            if number % 2:
                project.change_adapter()
            deploying = project.start_deploy()
            kill_at(deploying, chance.choice(STEPS), chance.uniform(0, 0.5))
            assert_whole(project)
    assert asked.failures == []
    assert sum(asked.answers.values()) > ROUNDS
    project.deploy()
    assert len(project.running()) <= 2
    assert_whole(project)
    collected = project.user.run("adapters", "gc", "--grace-hours", "0", "--project", str(project.root))
    assert collected.code == 0, collected
    assert_whole(project)
    assert_nothing_left(project)


def kill_at(process: subprocess.Popen[str], step: str, seconds: float) -> None:
    """`kill -9` so long after a step has begun; it may have ended by then."""
    assert process.stderr is not None
    next((line for line in process.stderr if step in line), None)
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    process.kill()
    process.communicate()


def assert_whole(project: ScriptedProject) -> None:
    """`aliases.json` is valid and all that it names is complete; so is the release of what serves."""
    mount = project.share.parent
    aliases = read_aliases(mount)
    assert aliases.generation > 0
    for name, digest in aliases.referenced:
        assert adapter_digest(mount / adapter_folder(name, digest)) == digest
    release = project.share / "releases" / release_of(project.serving())
    assert {path.name for path in release.iterdir()} >= {"release.json", "code.zip", "start.py"}


def assert_nothing_left(project: ScriptedProject) -> None:
    """Every adapter is one that some set of aliases names, every release one of a revision that is kept."""
    share, kept = project.share, len(project.running()) + KEPT_REVISIONS
    sets = [*share.glob("alias-sets/*"), share / "aliases.json"]
    named = {pair for path in sets for pair in AliasSet.decode(path.read_bytes(), str(path)).referenced}
    assert {(path.parent.name, path.name) for path in share.glob("adapters/*/*")} <= named
    assert len(sets) - 1 <= kept
    assert len([*share.glob("releases/*")]) <= kept
    assert [*share.glob(".*"), *share.glob("history/.*"), *share.glob("alias-sets/.*")] == []


@contextmanager
def wire_to(project: ScriptedProject, folder: Path) -> Iterator[tuple[User, threading.Event]]:
    """A user who reaches the cloud's ARM through a wire that can be cut."""
    home = folder / "home"
    shutil.copytree(
        project.user.home / "cloud",
        home / "cloud",
        ignore=shutil.ignore_patterns("shares", "logs", "*.sqlite3*"),
    )
    connection = json.loads((home / "cloud" / "connection.json").read_text())
    port = int(connection["arm_url"].rpartition(":")[2])
    cut = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection["arm_url"] = f"http://127.0.0.1:{listener.getsockname()[1]}"
        (home / "cloud" / "connection.json").write_text(json.dumps(connection))
        threading.Thread(target=_accept, args=(listener, port, cut), daemon=True).start()
        yield User(home), cut
        cut.set()


def _accept(listener: socket.socket, port: int, cut: threading.Event) -> None:
    while True:
        try:
            near, _ = listener.accept()
        except OSError:
            return
        if cut.is_set():
            near.close()
            continue
        far = socket.create_connection(("127.0.0.1", port))
        for one, other in ((near, far), (far, near)):
            threading.Thread(target=_pump, args=(one, other, cut), daemon=True).start()


def _pump(one: socket.socket, other: socket.socket, cut: threading.Event) -> None:
    try:
        while (data := one.recv(65536)) and not cut.is_set():
            other.sendall(data)
    except OSError:
        pass
    finally:
        for end in (one, other):
            with suppress(OSError):  # closing alone would not wake the other pump, nor tell the client
                end.shutdown(socket.SHUT_RDWR)
            end.close()
