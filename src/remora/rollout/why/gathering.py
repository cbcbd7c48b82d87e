"""Collects the facts about a project's last deploy, or about its endpoint now, from all that the cloud tells.

What cannot be read is itself a fact, because it is often the cause. Changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from remora.azure.app.apps import ContainerApp
from remora.azure.app.log_stream import MAX_TAIL_LINES, LogLine
from remora.azure.app.logs import read_logs, read_system_logs
from remora.azure.app.state import Replica, Revision
from remora.azure.failures import described
from remora.azure.profile import Clients
from remora.azure.provisioning.deployment import failure_of, read_deployment, read_operations
from remora.azure.share.files import Share
from remora.errors import DeploymentNotFound, NotReady, RemoraError
from remora.project.toolkit.command_steps import script_of
from remora.rollout.revision.failed_step import find_failed_step
from remora.rollout.share.history import Happened, read_history
from remora.rollout.share.lock import present_holder
from remora.rollout.why.facts import (
    Fact,
    Facts,
    Source,
    in_order,
    now_text,
    plain_time,
    seconds_between,
    seconds_of,
    with_gaps,
)

_EVENTS = 3
_CONSOLE_LINES = 40
_TOLD_CHARACTERS = 600
_UNREADABLE = (DeploymentNotFound, NotReady)  # there is nothing to read, which is no problem of its own


@dataclass(frozen=True, slots=True)
class Place:
    """Where a project is deployed, as far as that is known."""

    clients: Clients
    group: str
    app: ContainerApp | None = None
    front: ContainerApp | None = None
    share: Share | None = None


@dataclass(frozen=True, slots=True)
class _Seen:
    """A revision and what was read about it."""

    revision: Revision
    replicas: Sequence[Replica]
    serving: bool

    @property
    def runs(self) -> bool:
        """Whether it is to run: one whose replicas are being stopped still counts as active."""
        return self.revision.active and not self.revision.ending

    @property
    def answers(self) -> bool:
        """Whether it has the traffic and is ready, or sleeps until the next request."""
        if not self.serving or not self.runs or self.revision.failed:
            return False
        asleep = not self.revision.scale.min_replicas and not self.replicas
        return asleep or self.revision.health == "Healthy" or any(one.ready for one in self.replicas)


def gather(place: Place, *, revision: str | None = None, last: Fact | None = None) -> Facts:
    """The facts about a revision, the newest by default, and about everything around it.

    `last` is what the last command on this machine reported; a later success recorded in the history
    outdates it.
    """
    with ThreadPoolExecutor() as pool:
        arm = pool.submit(_read, Source.ARM, lambda: _deployment(place))
        lock = pool.submit(_read, Source.LOCK, lambda: _lock(place))
        events, history = _history(place)
        seen, problems = _revision(place, revision, events)
        app = [] if seen is None or place.app is None else _about(place.app, seen, pool)
        front = _read(Source.REVISION, lambda: _front(place.front))
        facts = [*arm.result(), *lock.result(), *history, *problems, *app, *front]
    if last is not None and not _outdated(last, events):
        facts.append(last)
    serves = "" if any(fact.wrong for fact in front) else _serves(seen)
    return Facts(in_order(facts), serves)


def _read(source: Source, read: Callable[[], Iterable[Fact]]) -> list[Fact]:
    try:
        return list(read())
    except _UNREADABLE:
        return []
    except RemoraError as error:
        return [Fact("", source, f"cannot be read: {error.code}: {error.message}", wrong=True)]


def _deployment(place: Place) -> Iterable[Fact]:
    deployment = read_deployment(place.clients, place.group)
    if deployment is None:
        return
    properties = deployment["properties"]
    state = str(properties.get("provisioningState"))
    failed = state == "Failed"
    for operation in read_operations(place.clients, place.group):
        target = operation.get("targetResource")
        if not target:
            continue
        took = seconds_of(str(operation.get("duration") or ""))
        kind = str(target.get("resourceType")).partition("/")[2]
        name = f"{kind} {target.get('resourceName')}"
        told = failure_of(operation) or f"{name}: {operation.get('provisioningState')}"
        wrong = failed and operation.get("provisioningState") == "Failed"
        yield Fact(str(operation.get("timestamp") or ""), Source.ARM, _cut(told), took, wrong)
    error = f": {described(properties.get('error') or {})}" if failed else ""
    took = seconds_of(str(properties.get("duration") or ""))
    ended = str(properties.get("timestamp") or "")
    yield Fact(ended, Source.ARM, _cut(f"the deployment: {state}{error}"), took, failed)


def _lock(place: Place) -> Iterable[Fact]:
    holder = present_holder(place.share) if place.share else None
    if holder is not None:
        yield Fact(holder.since, Source.LOCK, f"held by {holder}", seconds_between(holder.since, now_text()))


def _history(place: Place) -> tuple[list[Happened], list[Fact]]:
    """The newest events, and their facts. Only the newest one can report a problem that still exists."""
    events: list[Happened] = []

    def read() -> Iterable[Fact]:
        if place.share is not None:
            events.extend(read_history(place.share, most=_EVENTS))
        for number, event in enumerate(events):
            told = ": ".join(
                part for part in (f"{event.what} {event.name}", event.result, event.message) if part
            )
            yield Fact(event.at, Source.HISTORY, _cut(told), wrong=number == 0 and event.result != "ok")

    return events, _read(Source.HISTORY, read)


def _revision(place: Place, name: str | None, events: Sequence[Happened]) -> tuple[_Seen | None, list[Fact]]:
    """The revision in question: the newest one, or what serves if the last change succeeded."""
    found: list[_Seen] = []

    def read() -> Iterable[Fact]:
        if place.app is None:
            return
        state = place.app.read()
        went_well = bool(events) and events[0].result == "ok"
        chosen = name or (state.serving_revision if went_well else "") or state.latest_revision
        if chosen:
            revision = place.app.revision(chosen)
            found.append(_Seen(revision, place.app.replicas(chosen), chosen == state.serving_revision))
            yield from _states(found[0])

    if name is not None and place.app is not None:
        place.app.revision(name)  # a misspelt one is an error of the command, and no fact
    facts = _read(Source.REVISION, read)
    return (found[0] if found else None), facts


def _front(front: ContainerApp | None) -> Iterable[Fact]:
    """The app before the model's: it has the endpoint's address, so nobody gets in where it does not run."""
    if front is None:
        return
    name = front.read().serving_revision
    if not name:
        yield Fact("", Source.REVISION, f"the front {front.name} has never been ready", wrong=True)
        return
    seen = _Seen(front.revision(name), front.replicas(name), serving=True)
    told = f"the front {front.name}: {seen.revision.state or 'unknown'}"
    yield Fact("", Source.REVISION, told if seen.answers else f"{told}, does not run", wrong=not seen.answers)


def _states(seen: _Seen) -> Iterable[Fact]:
    revision = seen.revision
    wrong = not seen.answers
    told = f"{revision.name}: {revision.state or 'unknown'}, {revision.health or 'no health'}"
    told += "" if revision.active else ", deactivated"
    told += f": {revision.details}" if revision.details and wrong else ""
    yield Fact("", Source.REVISION, _cut(told), wrong=wrong and (revision.failed or bool(revision.details)))
    for replica in seen.replicas:
        state = f"{replica.name}: {replica.state or 'unknown'}, {'ready' if replica.ready else 'not ready'}"
        state += f", restarted {replica.restarts} times" if replica.restarts else ""
        state += f": {replica.details}" if replica.details and not replica.ready else ""
        yield Fact("", Source.REPLICA, _cut(state), wrong=wrong and not replica.ready)


def _about(app: ContainerApp, seen: _Seen, pool: ThreadPoolExecutor) -> list[Fact]:
    """The logs of a revision. While it answers, what they tell of its start is no problem any more."""
    system = pool.submit(_read, Source.SYSTEM, lambda: _events(app, seen))
    console = _read(Source.CONSOLE, lambda: _console(app, seen.revision.name))
    facts = [*system.result(), *console]
    return [replace(fact, wrong=fact.wrong and not seen.answers) for fact in facts]


def _events(app: ContainerApp, seen: _Seen) -> list[Fact]:
    name = seen.revision.name
    lines = [line for line in read_system_logs(app, tail=MAX_TAIL_LINES) if _is_of(line, name)]
    pulled = any("PulledImage" in line.text for line in lines)
    facts = [
        Fact(plain_time(line.time), Source.SYSTEM, _cut(line.text), wrong=_is_problem(line.text, pulled))
        for line in lines
    ]
    until = now_text() if seen.runs and not seen.answers else ""
    silence = seconds_between(facts[-1].at, until) if facts else None
    timed = with_gaps(facts, until)
    if silence is not None:
        told = f"since {silence:.0f} s nothing is newer than: {lines[-1].text}"
        timed.append(Fact("", Source.SYSTEM, _cut(told), silence, wrong=True))
    return timed


def _is_problem(event: str, pulled: bool) -> bool:
    """Warnings, and a pull of an image that has not ended."""
    return event.startswith("Warning") or ("PullingImage" in event and not pulled)


def _console(app: ContainerApp, revision: str) -> Iterable[Fact]:
    """The last lines of the newest replica, and the first of its commands that failed."""
    lines = list(read_logs(app, revision=revision, tail=MAX_TAIL_LINES))
    step = find_failed_step(script_of(app.read().command), [line.text for line in lines])
    if step is not None and lines:
        yield Fact(lines[-1].time, Source.CONSOLE, _cut(str(step)), wrong=True)
    for line in lines[-_CONSOLE_LINES:]:
        if line.text.strip():
            yield Fact(line.time, Source.CONSOLE, _cut(line.text))


def _is_of(line: LogLine, revision: str) -> bool:
    return line.replica == revision or line.replica.startswith(f"{revision}-")


def _outdated(last: Fact, events: Sequence[Happened]) -> bool:
    """Whether something succeeded later, perhaps from another machine."""
    return any(event.result == "ok" and plain_time(event.at) > plain_time(last.at) for event in events)


def _serves(seen: _Seen | None) -> str:
    if seen is None or not seen.answers:
        return ""
    asleep = not seen.replicas
    return f"revision {seen.revision.name} {'is asleep: the next request wakes it' if asleep else 'serves'}"


def _cut(text: str) -> str:
    """One line of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= _TOLD_CHARACTERS else f"{line[: _TOLD_CHARACTERS - 1]}…"
