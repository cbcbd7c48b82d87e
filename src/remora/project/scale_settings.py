"""How many replicas run, and when: `[scale]` of `remora.toml`. Starts and stops nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from remora.errors import InvalidInput
from remora.project.warm_hours import RULE, SPAN_RULE, WarmHours, parse_span

FRONT_WAIT_SECONDS = 200
MAX_FRONT_WAIT_SECONDS = 230  # an ingress cuts a request after 240 s
MAX_REPLICAS = 1000  # the limit of Container Apps


@dataclass(frozen=True, slots=True)
class ScaleSettings:
    """The number of replicas.

    `ttl_minutes` after a deploy they go to zero, and a request wakes them; 0 for never. `warm` are hours in
    which a replica stays awake although there may be none. With a `front` a small app is always on before the
    model's: it answers while that one sleeps, and what is no stream waits `front_wait_seconds` for it.
    """

    min_replicas: int
    max_replicas: int
    ttl_minutes: int = 0
    warm: tuple[WarmHours, ...] = ()
    front: bool = False
    front_wait_seconds: int = FRONT_WAIT_SECONDS

    def with_ttl(self, text: str) -> ScaleSettings:
        """The same with another time to live. Raises InvalidInput."""
        try:
            changed = replace(self, ttl_minutes=parse_span(text))
        except ValueError as error:
            raise InvalidInput(f"--ttl {text!r}: {error}", hint=SPAN_RULE, param="--ttl") from None
        if problem := changed.problem:
            raise InvalidInput(f"--ttl {text}: {problem[1]}", hint=problem[2], param="--ttl")
        return changed

    @property
    def sleeps(self) -> bool:
        """Whether there are times without a replica."""
        return not self.min_replicas or bool(self.ttl_minutes)

    @property
    def problem(self) -> tuple[str, str, str] | None:
        """What does not fit together: the key, a message and a hint."""
        lowest, highest = self.min_replicas, self.max_replicas
        if lowest > highest:
            message = f"scale.min_replicas is {lowest}, more than scale.max_replicas ({highest})"
            return "scale.min_replicas", message, "set max_replicas to at least min_replicas"
        if self.ttl_minutes and self.warm:
            message = "scale.ttl lets the app sleep, and scale.warm wakes it again"
            return "scale.ttl", message, "leave out one of them"
        if self.ttl_minutes and not lowest:
            message = (
                "with scale.min_replicas = 0 the app sleeps after five minutes without a request already"
            )
            return "scale.ttl", message, "leave out ttl, or set min_replicas to what stays awake until then"
        if self.warm and lowest:
            message = f"scale.warm changes nothing while scale.min_replicas is {lowest}"
            return "scale.warm", message, "set min_replicas = 0 under [scale]"
        return None


def scale_of(values: Mapping[str, object], refuse: Callable[[str, str, str], Exception]) -> ScaleSettings:
    """The section, from values of the right types. Raises what `refuse` makes of key, message and hint."""
    spans, hours = values["scale.ttl"], values["scale.warm"]
    warm = []
    for text in hours if isinstance(hours, list) else ():
        try:
            warm.append(WarmHours.parse(text))
        except ValueError as error:
            raise refuse("scale.warm", f"scale.warm has {text!r}: {error}", RULE) from None
    try:
        ttl_minutes = parse_span(spans) if isinstance(spans, str) else 0
    except ValueError as error:
        raise refuse("scale.ttl", f"scale.ttl is {spans!r}: {error}", SPAN_RULE) from None
    least, most = values["scale.min_replicas"], values["scale.max_replicas"]
    assert isinstance(least, int) and isinstance(most, int)  # noqa: S101, PT018 - their types were checked
    front, wait = values["scale.front"], values["scale.front_wait_seconds"]
    assert isinstance(front, bool) and isinstance(wait, int)  # noqa: S101, PT018 - as above
    settings = ScaleSettings(least, most, ttl_minutes, tuple(warm), front, wait)
    if settings.problem:
        raise refuse(*settings.problem)
    return settings
