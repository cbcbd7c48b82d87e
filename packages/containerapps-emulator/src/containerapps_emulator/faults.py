"""Faults: failures that a test or a rehearsal switches on, to see what a client makes of them.

Owns which faults are on, for how many operations, and the route that switches them. What each does is in
`fault_table.py`. Faults are kept in memory: a restart switches all of them off.

    POST /_faults {"name": "slow_start", "times": 1, "seconds": 30}

Without `times` it affects one operation; with null it stays on until `times` is 0, which
ends what it delays, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import asdict, dataclass, replace
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from containerapps_emulator.arm.http import error_response, read_json
from containerapps_emulator.arm.resources.resource import ArmError
from containerapps_emulator.fault_table import ARM_ANSWERS, FILES_ERRORS, MEANINGS, Fault

MOST_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class Armed:
    """A fault that is on for the next `times` operations that it affects; None: until it is switched off."""

    name: Fault
    times: int | None = 1
    seconds: float = 30

    @property
    def is_on(self) -> bool:
        """Whether it affects the next operation."""
        return self.times is None or self.times > 0


class Faults:
    def __init__(self) -> None:
        self._armed: dict[Fault, Armed] = {}
        self._delays: dict[Fault, set[asyncio.Task[None]]] = {}

    def arm(self, fault: Armed) -> None:
        """Switch a fault on, replacing one of the same name; `times` 0 switches it off and ends delays."""
        self._armed[fault.name] = fault
        if not fault.is_on:
            for delay in self._delays.get(fault.name, ()):
                delay.cancel()

    async def delay(self, fault: Armed, sleep: Callable[[float], Coroutine[None, None, None]]) -> None:
        """Let the seconds of a fault that was taken pass by `sleep`, or wait until it is switched off."""
        delay = asyncio.ensure_future(sleep(fault.seconds))
        delays = self._delays.setdefault(fault.name, set())
        delays.add(delay)
        try:
            await asyncio.wait({delay})
        finally:
            delay.cancel()  # if it is the waiting one that was cancelled
            delays.discard(delay)

    def take(self, name: Fault) -> Armed | None:
        """Return the fault if it is on, and use up one of its times."""
        armed = self._armed.get(name)
        if armed is None or not armed.is_on:
            return None
        if armed.times is not None:
            self._armed[name] = replace(armed, times=armed.times - 1)
        return armed

    def is_on(self, name: Fault) -> bool:
        """Whether a fault that is a state rather than an operation's failure is on; uses up nothing."""
        armed = self._armed.get(name)
        return armed is not None and armed.is_on

    def listed(self) -> list[Armed]:
        """The faults that are on."""
        return [armed for armed in self._armed.values() if armed.is_on]

    def arm_answer(self, method: str, path: str) -> Response | None:
        """What ARM answers to this request while a fault is on; None if no fault affects it."""
        for name, answer in ARM_ANSWERS.items():
            if method not in answer.methods or not answer.path.search(path) or self.take(name) is None:
                continue
            if answer.body is not None:
                return JSONResponse(dict(answer.body), status_code=answer.status)
            response = error_response(ArmError(answer.status, answer.code, answer.message))
            response.headers.update(answer.headers or {})
            return response
        return None

    def files_error(self) -> tuple[str, str] | None:
        """The error that Azure Files answers while a fault is on: its code, and a detail."""
        return next((error for name, error in FILES_ERRORS.items() if self.take(name) is not None), None)


class FaultRoutes:
    def __init__(self, faults: Faults, accepts: Callable[[str], bool]) -> None:
        """`accepts` says whether a bearer token may switch faults."""
        self._faults = faults
        self._accepts = accepts
        self.routes = (Route("/_faults", self.answer, methods=["GET", "POST"]),)

    async def answer(self, request: Request) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not self._accepts(token):
            return error_response(ArmError(401, "InvalidAuthenticationToken", "The access token is invalid."))
        if request.method == "POST":
            try:
                self._faults.arm(_read(await read_json(request)))
            except ArmError as error:
                return error_response(error)
        known = {name.value: meaning for name, meaning in MEANINGS.items()}
        on = [asdict(armed) for armed in self._faults.listed()]
        return JSONResponse({"value": on, "known": known})


def _read(body: dict[str, object]) -> Armed:
    name, times, seconds = body.get("name"), body.get("times", 1), body.get("seconds", 30)
    if name not in list(Fault):
        message = f"Unknown fault '{name}'. Known faults: {', '.join(Fault)}."
        raise ArmError(400, "InvalidFault", message)
    if times is not None and (not isinstance(times, int) or times < 0):
        raise ArmError(400, "InvalidFault", f"times is {times}; it must be a whole number of at least 0.")
    if not isinstance(seconds, int | float) or not 0 <= seconds <= MOST_SECONDS:
        message = f"seconds is {seconds}; it must be a number from 0 to {MOST_SECONDS}."
        raise ArmError(400, "InvalidFault", message)
    return Armed(Fault(str(name)), times, float(seconds))
