"""Asks the local cloud what was asked of the real services, in the recorded order, and compares the answers.

Owns the conversation: names, polls, hosts, stand-ins for images. What counts as equal is `differences`.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final
from urllib.parse import parse_qsl

import httpx
from tests.conformance.bindings import Bindings
from tests.conformance.differences import differences
from tests.conformance.files import Account
from tests.conformance.images import Gate, has_stand_in, with_stand_ins, without_stand_ins
from tests.conformance.normal import normal_id
from tests.conformance.preparation import prepare
from tests.conformance.recordings import RECORDED_SUBSCRIPTION, Exchange, Scenario
from tests.conformance.scope import Scope
from tests.emulator.arm.conftest import RunningCloud

SETTLE_SECONDS: Final = 5  # of an answer that differs for a known reason
MOST_SECONDS: Final = 120  # of any other, where other work keeps the cores
POLL_SECONDS: Final = 0.05
# Where ours differs in one of these, it may only not have got there yet.
OF_THE_MOMENT: Final = re.compile(
    r"\.(active|healthState|latestReadyRevisionName|provisioningError|provisioningState|ready|replicas|restartCount|runningState"
    r"|runningStateDetails|started|trafficWeight): |items, recorded|^status: 50[23]"
)


class Verdict(StrEnum):
    """FOLLOWED is a poll that found the recorded operation at work: ours may have ended by then."""

    EQUAL = "equal"
    DIFFERENT = "different"
    FOLLOWED = "followed"
    OUT_OF_SCOPE = "out of scope"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one exchange. `notes` are the differences, or why it was not asked."""

    scenario: str
    position: int
    operation: str
    verdict: Verdict
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Replay:
    """One scenario against one cloud. `is_known`: whether all that an outcome notes has a reason."""

    cloud: RunningCloud
    scenario: Scenario
    is_known: Callable[[Outcome], bool]
    scope: Scope = field(default_factory=Scope)
    _bindings: Bindings = field(init=False)
    _client: httpx.Client = field(init=False)
    _accounts: dict[str, Account] = field(init=False)
    _gate: Gate = field(default_factory=Gate)

    def run(self) -> list[Outcome]:
        self._bindings = Bindings((RECORDED_SUBSCRIPTION, self.cloud.connection.subscription_id))
        self._accounts = prepare(self.cloud, self.scenario)
        with self._gate, self.cloud.http() as self._client:
            return [self._outcome(index, item) for index, item in enumerate(self.scenario.exchanges)]

    def _outcome(self, position: int, recorded: Exchange) -> Outcome:
        operation = operation_of(recorded)
        reason = self.scope.why_not(recorded)
        if reason:
            return Outcome(self.scenario.name, position, operation, Verdict.OUT_OF_SCOPE, (reason,))
        if recorded.to_arm and recorded.method in ("PATCH", "PUT"):
            self._settle(recorded)
        self._gate.follow(recorded, self._bindings.rewrite(recorded.url.path))
        if recorded.to_files:
            account = self._accounts[recorded.url.netloc.split(".")[0]]
            verdict, notes = verdict_of(account.ask(self._client, recorded, self._accounts)[1])
        elif self._bindings.operation(recorded.url.path):
            verdict, notes = self._poll(recorded)
        else:
            verdict, notes = self._ask_until_settled(position, recorded)
        return Outcome(self.scenario.name, position, operation, verdict, tuple(notes))

    def _settle(self, recorded: Exchange) -> None:
        """Wait for the replicas that an app is about to start: when this was recorded, they were up."""
        app = self._bindings.rewrite(recorded.url.path)
        deadline = time.monotonic() + MOST_SECONDS
        while "/containerapps/" in app.lower() and time.monotonic() < deadline:
            if all(self._gate.is_settled(*item) for item in self._replicas(app)):
                return
            time.sleep(POLL_SECONDS)

    def _replicas(self, app: str) -> Iterator[tuple[str, list[str]]]:
        """The active revisions that stand-ins run, each with its replicas' names."""
        for revision in self._listed(f"{app}/revisions"):
            if revision["properties"]["active"] and has_stand_in(revision):
                yield (
                    revision["name"],
                    [item["name"] for item in self._listed(f"{app}/revisions/{revision['name']}/replicas")],
                )

    def _listed(self, path: str) -> list[dict[str, Any]]:
        """What is listed there; nothing where there is no app."""
        answer = self._client.get(f"{self.cloud.connection.arm_url}{path}?api-version=2024-03-01")
        return answer.json()["value"] if answer.status_code == 200 else []

    def _ask_until_settled(self, position: int, recorded: Exchange) -> tuple[Verdict, list[str]]:
        """Reads are asked again while they differ in what time changes."""
        begun, operation = time.monotonic(), operation_of(recorded)
        while True:
            answer = self._send(recorded)
            found = differences(answer, recorded)
            if recorded.method != "GET" or not any(OF_THE_MOMENT.search(text) for text in found):
                break
            outcome = Outcome(self.scenario.name, position, operation, Verdict.DIFFERENT, tuple(found))
            most = SETTLE_SECONDS if self.is_known(outcome) else MOST_SECONDS
            if time.monotonic() - begun > most:
                break
            time.sleep(POLL_SECONDS)
        self._learn(recorded, answer)
        return verdict_of(found)

    def _poll(self, recorded: Exchange) -> tuple[Verdict, list[str]]:
        """Follow our own operation: one step where the recorded one went on, else to its end."""
        url = self._bindings.operation(recorded.url.path) or ""
        went_on = _goes_on(recorded.status, recorded.answer_body)
        deadline = time.monotonic() + 60
        while True:
            answer = self._client.get(url)
            ours_goes_on = _goes_on(answer.status_code, _json(answer))
            if went_on or not ours_goes_on or time.monotonic() > deadline:
                break
            time.sleep(POLL_SECONDS)
        if went_on and not ours_goes_on and answer.status_code < 400:
            return Verdict.FOLLOWED, []
        self._learn(recorded, answer)
        verdict, found = verdict_of(differences(without_stand_ins(answer), recorded))
        return (Verdict.FOLLOWED if went_on and not found else verdict), found

    def _send(self, recorded: Exchange) -> httpx.Response:
        headers = {"content-type": "application/json"} if recorded.body else {}
        if "x-ms-snapshot" in recorded.headers:
            headers["x-ms-snapshot"] = self._bindings.rewrite(recorded.headers["x-ms-snapshot"])
        if recorded.to_a_log_stream:
            headers["authorization"] = f"Bearer {self._bindings.token}"
        answer = self._client.request(
            recorded.method, self._url(recorded), content=self._body(recorded), headers=headers
        )
        return without_stand_ins(answer)

    def _url(self, recorded: Exchange) -> str:
        url = recorded.url
        path = self._bindings.rewrite(url.path) + (
            f"?{self._bindings.rewrite(url.query)}" if url.query else ""
        )
        if recorded.to_an_app:
            return f"http://{self._bindings.host(url.netloc)}{path}"
        return f"{self.cloud.connection.arm_url}{path}"

    def _body(self, recorded: Exchange) -> bytes | None:
        if not recorded.body:
            return None
        body = with_stand_ins(recorded.body, self._gate)
        text = body if isinstance(body, str) else json.dumps(body)
        return self._bindings.rewrite(text).encode()

    def _learn(self, recorded: Exchange, answer: httpx.Response) -> None:
        self._bindings.learn(recorded.answer_body, _json(answer))
        for name in ("azure-asyncoperation", "location"):
            if name in recorded.answer_headers and name in answer.headers:
                self._bindings.learn_operation(recorded.answer_headers[name], answer.headers[name])


def operation_of(recorded: Exchange) -> str:
    """The operation as the table names it: method and path with names left out."""
    if recorded.to_arm:
        return f"{recorded.method} {normal_id(recorded.url.path.rstrip('/'))}"
    if recorded.to_files:
        return f"{recorded.method} Files {_files_operation(recorded)}"
    host = "{app}" if recorded.to_an_app else "{logs}" if recorded.to_a_log_stream else recorded.url.netloc
    return f"{recorded.method} {host}{normal_id(recorded.url.path)}"


def _files_operation(recorded: Exchange) -> str:
    """By the query parameters that select an operation; a file's have none."""
    query = dict(parse_qsl(recorded.url.query))
    depth = len([part for part in recorded.url.path.split("/") if part])
    kind = query.get("restype") or ("service" if not depth else "share" if depth == 1 else "file")
    return kind + "".join(f" {query[name]}" for name in ("comp",) if name in query)


def verdict_of(found: list[str]) -> tuple[Verdict, list[str]]:
    return (Verdict.DIFFERENT if found else Verdict.EQUAL), found


def _goes_on(status: int, body: Any) -> bool:
    if status == 202:
        return True
    state = body.get("status") if isinstance(body, dict) else None
    return state in ("Accepted", "InProgress", "Running", "running")


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None
