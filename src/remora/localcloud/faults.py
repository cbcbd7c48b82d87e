"""Faults: switched on for the next operations, so that what a client says to a failure can be tried.

Owns which are on, and the route that switches them; what each one does is done where it happens. They are
kept in memory: a restart switches all of them off.

    POST /_faults {"name": "slow_start", "times": 1, "seconds": 30}
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from remora.localcloud.arm.http import error_response, read_json
from remora.localcloud.arm.resource import ArmError

MOST_SECONDS: Final = 86_400


class Fault(StrEnum):
    QUOTA = "quota"  # the next environment or app is refused: MaxRegionalQuotaExceeded
    SLOW_ENVIRONMENT = "slow_environment"  # the next environment is ready `seconds` late
    IMAGE_PULL_DENIED = "image_pull_denied"  # the replicas of the next revision cannot be started
    STUCK_REPLICA = "stuck_replica"  # the replicas of the next revision find no node: AssigningReplica
    SHARE_FULL = "share_full"  # the next write of content to a share is refused: ShareSizeLimitReached
    SLOW_START = "slow_start"  # the replicas of the next revision start `seconds` late


@dataclass(frozen=True, slots=True)
class Armed:
    """A fault that is on for the next `times` operations that it can befall."""

    name: Fault
    times: int = 1
    seconds: float = 30


class Faults:
    def __init__(self) -> None:
        self._armed: dict[Fault, Armed] = {}

    def arm(self, fault: Armed) -> None:
        """Switch a fault on, in the place of one of the same name; zero times switches it off."""
        self._armed[fault.name] = fault

    def take(self, name: Fault) -> Armed | None:
        """The fault, if it is on: it has then befallen one operation more."""
        armed = self._armed.get(name)
        if armed is None or armed.times < 1:
            return None
        self._armed[name] = replace(armed, times=armed.times - 1)
        return armed

    def listed(self) -> list[Armed]:
        """Those that are on."""
        return [armed for armed in self._armed.values() if armed.times > 0]


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
        return JSONResponse({"value": [asdict(armed) for armed in self._faults.listed()]})


def _read(body: dict[str, object]) -> Armed:
    name, times, seconds = body.get("name"), body.get("times", 1), body.get("seconds", 30)
    if name not in list(Fault):
        message = f"There is no fault '{name}'. Known are: {', '.join(Fault)}."
        raise ArmError(400, "InvalidFault", message)
    if not isinstance(times, int) or times < 0:
        raise ArmError(400, "InvalidFault", f"times is {times}; it is a number from 0.")
    if not isinstance(seconds, int | float) or not 0 <= seconds <= MOST_SECONDS:
        raise ArmError(400, "InvalidFault", f"seconds is {seconds}; it is a number from 0 to {MOST_SECONDS}.")
    return Armed(Fault(str(name)), times, float(seconds))
