"""Who lost the lock changes nothing more; and a revision that somebody switched off is switched on again."""

from __future__ import annotations

import inspect
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from uuid import uuid4

import pytest
from tests.cli.command import finish
from tests.cli.trained_folder import make_adapter
from tests.rollout.scripted_project import ScriptedProject, make_scripted_project, release_of
from tests.rollout.test_rollout_interrupted import wait_for

from remora.adapters.hash_cache import HashCache
from remora.adapters.peft.inspect import inspect_adapter
from remora.azure.app.apps import ContainerApp
from remora.azure.app.scale import Scale
from remora.azure.share.files import Share
from remora.azure.share.lease import LeasedFile
from remora.errors import Locked
from remora.project.toolkit.config import load_inference_config
from remora.rollout.share import lock
from remora.rollout.share.adapter_versions import AdapterVersions
from remora.rollout.share.lock import LOCK, holder_of, locked

SLOW_SECONDS = 30
PATH, OTHER = PurePosixPath(".remora/fenced.json"), PurePosixPath(".remora/other.json")

APP_CHANGES: dict[str, Callable[[ContainerApp], object]] = {
    "roll_out": lambda app: app.roll_out({"A": "b"}, Scale(1, 1)),
    "direct": lambda app: app.direct(app.read().traffic),
    "activate": lambda app: app.activate(app.read().latest_revision),
    "deactivate": lambda app: app.deactivate(app.read().latest_revision),
    "restart": lambda app: app.restart(app.read().latest_revision),
    "set_secret": lambda app: app.set_secret("s", "v", variable="S"),
    "replace_secrets": lambda app: app.replace_secrets({"s": "v"}),
    "stop": lambda app: app.stop(),
    "start": lambda app: app.start(),
    "delete": lambda app: app.delete(),
}
COMMANDS = (
    ("stop",),
    ("start",),
    ("down", "--yes"),
    ("rollback",),
    ("keys", "add", "alice"),
    ("keys", "rm", "alice", "--yes"),
)
SHARE_CHANGES: dict[str, Callable[[Share], object]] = {
    "replace": lambda share: share.replace(PATH, b"1"),
    "replace_if_same": lambda share: share.replace_if_same(PATH, b"1", expected=None),
    "move": lambda share: share.move(PATH, OTHER),
    "copy": lambda share: share.copy(PATH, OTHER),
    "upload": lambda share: share.upload(PATH, b"1"),
    "delete": lambda share: share.delete(PATH),
    "delete_folder": lambda share: share.delete_folder(PATH),
    "make_folder": lambda share: share.make_folder(PATH),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedProject]:
    project = make_scripted_project(tmp_path_factory.mktemp("fence"))
    yield project
    project.user.run("cloud", "stop")


def share_of(project: ScriptedProject) -> Share:
    app, config = project.app(), load_inference_config(project.root)
    return Share(app.clients, app.group, config.storage_account or "", config.file_share or "")


def lost() -> None:
    raise Locked("another has it")


@pytest.mark.parametrize("change", sorted(APP_CHANGES))
def test_no_change_of_an_app_gets_past_the_fence(project: ScriptedProject, change: str) -> None:
    before = project.app().revisions()
    with pytest.raises(Locked):
        APP_CHANGES[change](project.app().fenced(lost))
    assert project.app().revisions() == before


def test_every_method_that_changes_an_app_is_in_the_table() -> None:
    sources = {name: inspect.getsource(one) for name, one in vars(ContainerApp).items() if callable(one)}
    assert {name for name, text in sources.items() if "_to_change." in text} == {*APP_CHANGES}
    verbs = re.compile(r"_(apps|revisions)\.(begin_\w+|(de)?activate_\w+|restart_\w+)")
    assert [name for name, text in sources.items() if verbs.search(text)] == []


def test_no_command_changes_an_app_that_another_one_changes(project: ScriptedProject) -> None:
    before, running = project.app().secrets(), project.running()
    with locked(share_of(project), "remora deploy somewhere"):
        for command in COMMANDS:
            ran = project.user.run(*command, "-C", str(project.root))
            assert ran.code == 9, (command, ran)
            assert "remora deploy somewhere" in ran.message
    assert project.app().secrets() == before
    assert project.running() == running
    assert not project.app().is_stopped()


def test_an_app_whose_share_is_gone_can_still_be_stopped_and_started(project: ScriptedProject) -> None:
    config = project.root / "infra" / "inference.config.json"
    known = config.read_text()
    config.write_text(known.replace(share_of(project).name, "gone"))
    stopped = project.user.run("stop", str(project.root))
    assert (stopped.code, project.app().is_stopped()) == (0, True), stopped
    assert "continuing without the lock of the share" in stopped.stderr
    assert project.user.run("start", str(project.root)).code == 0
    config.write_text(known)


@pytest.mark.parametrize("change", sorted(SHARE_CHANGES))
def test_no_change_of_a_share_gets_past_the_fence(project: ScriptedProject, change: str) -> None:
    share = share_of(project)
    before = share.sizes(PATH.parent)
    with pytest.raises(Locked):
        SHARE_CHANGES[change](share.fenced(lost))
    assert share.sizes(PATH.parent) == before


def test_a_holder_that_wakes_up_leaves_alone_what_serves_by_now(project: ScriptedProject) -> None:
    project.change_settings(31)
    project.fault("slow_start", seconds=SLOW_SECONDS)
    asleep = project.start_deploy()
    wait_for(asleep, "waiting for revision")
    asleep.send_signal(signal.SIGSTOP)
    take_lock_from_the_dead(share_of(project))
    ended = project.deploy()  # of the same sources: it takes the same candidate up
    asleep.send_signal(signal.SIGCONT)
    ran = finish(asleep)
    assert ran.code == 9, ran
    assert "gave no sign of life for too long" in ran.message
    assert project.serving().name == ended["revision"]
    assert project.serving().active
    assert project.app().read().traffic.serving("") == ended["revision"]
    assert project.history()[0]["result"] == "ok"


def test_a_rollback_that_wakes_up_leaves_alone_what_serves_by_now(project: ScriptedProject) -> None:
    wanted = project.serving()
    for number in (33, 34):  # on a CPU the former one runs on, the one before it is stopped
        project.change_settings(number)
        project.deploy()
    assert wanted.name not in project.running()
    back = ("rollback", str(project.root), "--release", release_of(wanted))
    project.fault("slow_start", seconds=SLOW_SECONDS)
    asleep = project.user.start(*back)
    wait_for(asleep, "waiting for revision")
    asleep.send_signal(signal.SIGSTOP)
    take_lock_from_the_dead(share_of(project))
    ended = project.user.run(*back)
    asleep.send_signal(signal.SIGCONT)
    ran = finish(asleep)
    assert (ended.code, ran.code) == (0, 9), (ended, ran)
    assert project.app().read().traffic.serving("") == wanted.name == project.serving().name
    assert project.serving().active
    project.change_settings(31)  # those of what serves again, for the tests that follow


def test_a_push_that_lost_the_lock_serves_nothing(
    project: ScriptedProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share, before = share_of(project), project.aliases()
    make_adapter(tmp_path, "late")
    adapter = inspect_adapter("late", tmp_path / "adapters" / "late", None)
    told: list[object] = []

    def fall_asleep(*progress: object) -> None:
        if not told:
            take_lock_from_the_dead(share)
            # As if time had passed: a holder that confirmed its lock just now need not ask again.
            monkeypatch.setattr(lock, "_FRESH_SECONDS", 0.0)
        told.append(progress)

    with pytest.raises(Locked):
        AdapterVersions(share).push(adapter, HashCache(tmp_path / "hashes.json"), fall_asleep)
    assert told
    assert project.aliases() == before


def take_lock_from_the_dead(share: Share) -> None:
    """As one on another machine does that finds it stale, and is done with it."""
    file, former = LeasedFile(share, LOCK), holder_of(share)
    assert former is not None
    ours = str(uuid4())
    assert file.take_over(ours, former.lease_id)
    file.release(ours)


def test_status_says_at_once_that_the_serving_revision_is_switched_off(project: ScriptedProject) -> None:
    serving = project.serving().name
    project.app().deactivate(serving)
    ran = project.user.run("status", str(project.root))
    assert ran.code == 0, ran
    assert ran.document["answers"] is False
    assert f"{serving} has the traffic and is deactivated" in ran.document["problem"]
    assert "waiting" not in ran.stderr


@pytest.mark.parametrize("command", [("deploy",), ("up", "--yes")])
def test_a_serving_revision_that_was_switched_off_is_switched_on(
    project: ScriptedProject, command: tuple[str, ...]
) -> None:
    serving = project.serving().name
    project.app().deactivate(serving)
    ran = project.user.run(command[0], str(project.root), *command[1:])
    assert ran.code == 0, ran
    assert ran.document["revision"] == serving
    assert "activating it" in ran.stderr
    assert project.serving().active


def test_something_else_is_deployed_over_a_revision_that_was_switched_off(project: ScriptedProject) -> None:
    serving = project.serving().name
    project.app().deactivate(serving)
    project.change_settings(32)
    document = project.deploy()
    assert document["new_revision"] is True
    assert project.serving().name == document["revision"] != serving
    assert project.serving().active
