"""Following an app's logs through everything that ends a stream: no line twice, none lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import Any

import httpx
import pytest
from tests.azure.arm_stand_in import SUBSCRIPTION, Answer, ArmStandIn, Asked
from tests.azure.local_cloud import LocalCloud, Silent, printer_app, until

from remora.azure.app.apps import ContainerApp
from remora.azure.app.log_stream import LogLine, Seen
from remora.azure.app.logs import Follower, read_logs, read_system_logs
from remora.azure.app.readiness import wait_until_ready
from remora.azure.app.scale import Scale
from remora.errors import DeploymentNotFound, NotReady, RemoraError, SignInRequired

GROUP = "Log-Tests"
LOOK_SECONDS = 0.1
WAIT_SECONDS = 300


class UntilTheTestEnds:
    """The app for a follower, which ends by itself only when its app is deleted."""

    def __init__(self, app: ContainerApp) -> None:
        self._app = app
        self.has_ended = Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._app, name)

    def read(self) -> Any:
        if self.has_ended.is_set():
            raise DeploymentNotFound("the test has ended")
        return self._app.read()


class Following:
    """A follower at work in a thread, and what it has said so far."""

    def __init__(self, app: ContainerApp, options: dict[str, Any]) -> None:
        self._lines: SimpleQueue[LogLine] = SimpleQueue()
        self._app = UntilTheTestEnds(app)
        self._follower = Follower(self._app, note=lambda _: None, **options)  # type: ignore[arg-type]
        self.error: RemoraError | None = None
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Without this, it would go on asking in the middle of later tests, in a changed environment."""
        self._app.has_ended.set()
        self._thread.join(WAIT_SECONDS)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        try:
            for line in self._follower.lines():
                self._lines.put(line)
        except RemoraError as error:
            self.error = error

    def until(self, text: str) -> list[str]:
        """The texts that came, up to and with the first one that is `text`."""
        texts: list[str] = []
        while not texts or texts[-1] != text:
            texts.append(self._lines.get(timeout=WAIT_SECONDS).text)
        return texts

    def waiting(self) -> list[str]:
        """What came beyond that."""
        texts = []
        while True:
            try:
                texts.append(self._lines.get_nowait().text)
            except Empty:
                return texts


@pytest.fixture(scope="module")
def app(cloud: LocalCloud) -> ContainerApp:
    return printer_app(cloud.clients(GROUP), GROUP, "printer")


def ask(app: ContainerApp, what: str) -> None:
    httpx.get(f"http://{app.read().fqdn}/{what}", timeout=WAIT_SECONDS)


Follow = Callable[..., Following]


@pytest.fixture
def follow() -> Iterator[Follow]:
    started: list[Following] = []

    def start(app: ContainerApp, **options: Any) -> Following:
        started.append(Following(app, {"tail": 100, "look_seconds": LOOK_SECONDS, **options}))
        return started[-1]

    yield start
    for following in started:
        following.end()


def test_the_last_lines_come_without_the_streams_own_greeting(app: ContainerApp) -> None:
    ask(app, "same,same,same,end of the first")
    lines = list(read_logs(app, revision=None, tail=4))
    assert [line.text for line in lines] == ["same", "same", "same", "end of the first"]
    assert {line.replica for line in lines} == {app.replicas(app.read().latest_revision)[0].name}


def test_system_events_say_what_the_platform_did(app: ContainerApp, follow: Follow) -> None:
    texts = [line.text for line in read_system_logs(app, tail=300)]
    assert any("ContainerStarted" in text for text in texts)
    assert not any("ConnectedToEventsServer" in text for text in texts)
    following = follow(app, system=True)
    assert following.until(texts[-1]) == texts[-100:]


def test_following_goes_on_over_exits_new_revisions_and_a_cloud_that_dies(
    cloud: LocalCloud, app: ContainerApp, follow: Follow
) -> None:
    ask(app, "before,same,same")
    following = follow(app, tail=2)
    assert following.until("same") == ["same"]
    ask(app, "1,2,2,3")
    assert following.until("3") == ["same", "1", "2", "2", "3"]

    ask(app, "exit")  # the container is restarted in place
    assert following.until("started as None") == ["started as None"]

    revision = app.roll_out({"VERSION": "second"}, Scale(1, 1))
    assert following.until("started as second")[-1] == "started as second"
    wait_until_ready(app, revision, timeout_seconds=WAIT_SECONDS, say=Silent())
    ask(app, "4,5")
    assert following.until("5") == ["4", "5"]

    cloud.kill()
    cloud.start()
    assert following.until("started as second") == ["started as second"]
    until(lambda: app.revision(revision).health == "Healthy")
    ask(app, "6")
    assert following.until("6") == ["6"]
    assert following.waiting() == []


def test_an_app_that_is_deleted_ends_the_following(app: ContainerApp, follow: Follow) -> None:
    following = follow(app)
    following.until("started as second")
    app.delete()
    until(lambda: following.error is not None)
    assert isinstance(following.error, DeploymentNotFound)


def stamped(*lines: tuple[str, str]) -> Iterator[LogLine]:
    return iter([LogLine(time, "r", text) for time, text in lines])


def test_equal_lines_of_one_moment_are_counted() -> None:
    seen = Seen()
    first = [("10.1", "a"), ("10.2", "b"), ("10.2", "b")]
    assert [line.text for line in seen.fresh(stamped(*first))] == ["a", "b", "b"]
    again = [*first, ("10.2", "b"), ("10.2", "c"), ("10.3", "d"), ("10.2", "late")]
    assert [line.text for line in seen.fresh(stamped(*again))] == ["b", "c", "d", "late"]
    assert list(seen.fresh(stamped(*again[:-1]))) == []


def test_times_with_fewer_digits_still_sort() -> None:
    seen = Seen()
    assert len(list(seen.fresh(stamped(("10.12Z", "a"), ("10.1234Z", "b"))))) == 2
    assert list(seen.fresh(stamped(("10.12Z", "a"), ("10.1234Z", "b")))) == []


def json_lines(*lines: tuple[str, str]) -> list[bytes]:
    return [json.dumps({"TimeStamp": time, "Log": text}).encode() + b"\n" for time, text in lines]


def app_of(arm: ArmStandIn) -> ContainerApp:
    """An app of a scripted cloud with one replica; its stream is scripted by the test."""
    group = "resourcegroups/g/providers/microsoft.app/containerapps/web"
    stream = f"{arm.url}/subscriptions/{SUBSCRIPTION}/resourceGroups/g/containerApps/web/eventstream"
    tokens = iter(range(1, 100))
    properties = {
        "latestRevisionName": "web--1",
        "eventStreamEndpoint": stream,
        "template": {"containers": [{"name": "main"}]},
    }
    replica = {"name": "web--1-r", "properties": {"containers": [{"name": "main"}]}}
    arm.answers |= {
        ("GET", group): Answer(200, {"name": "web", "properties": properties}),
        ("GET", f"{group}/revisions/web--1/replicas"): Answer(200, {"value": [replica]}),
        ("POST", f"{group}/getauthtoken"): lambda _: Answer(
            200, {"properties": {"token": f"token-{next(tokens)}"}}
        ),
    }
    return ContainerApp(arm.clients(), "g", "web")


STREAM = "resourcegroups/g/containerapps/web/revisions/web--1/replicas/web--1-r/containers/main/logstream"


def test_a_stream_that_breaks_off_is_read_on_where_it_stopped_with_a_fresh_token(
    follow: Follow,
) -> None:
    with ArmStandIn() as arm:
        app = app_of(arm)
        lines = [("10.1", "one"), ("10.2", "two"), ("10.2", "two"), ("10.3", "three"), ("10.4", "four")]
        script = iter(
            [
                Answer(chunks=json_lines(*lines[:2])),
                Answer(401),  # the token has expired meanwhile
                Answer(chunks=json_lines(*lines[:4])),
                Answer(503),
                Answer(chunks=json_lines(*lines)),
            ]
        )
        asked: list[Asked] = []

        def stream(request: Asked) -> Answer:
            asked.append(request)
            return next(script, Answer(503))

        arm.answers["GET", STREAM] = stream
        following = follow(app)
        assert following.until("four") == ["one", "two", "two", "three", "four"]
        tokens = [request.authorization for request in asked[:5]]
        assert tokens == ["Bearer token-1"] * 2 + ["Bearer token-2"] * 3
        assert "tailLines=100" in asked[0].query
        assert all("tailLines=300" in request.query for request in asked[1:])
        assert following.waiting() == []


def test_a_stream_that_takes_no_token_at_all_is_given_up(follow: Follow) -> None:
    with ArmStandIn() as arm:
        app = app_of(arm)
        arm.answers["GET", STREAM] = Answer(401)
        following = follow(app)
        until(lambda: following.error is not None)
        assert isinstance(following.error, SignInRequired)


def test_an_app_without_replicas_says_where_to_look() -> None:
    with ArmStandIn() as arm:
        app = app_of(arm)
        replicas = "resourcegroups/g/providers/microsoft.app/containerapps/web/revisions/web--1/replicas"
        arm.answers["GET", replicas] = Answer(200, {"value": []})
        with pytest.raises(NotReady, match="scaled to zero") as caught:
            list(read_logs(app, revision=None, tail=10))
        assert "--system" in caught.value.hint
