"""`remora cloud faults`: switch on a failure of the local cloud, to rehearse it; list them; switch it off."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Any

import httpx
import typer
from rich.table import Table

from remora.azure.profile import local_connection, remora_home
from remora.cli.output.console import Mode, Output, OutputOption
from remora.errors import CloudUnavailable, InvalidInput, listed

_SECONDS = 10.0

faults = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Switch failures of the local cloud on and off."
)

NameArgument = Annotated[str, typer.Argument(help="A fault of `remora cloud faults list`.")]
TimesOption = Annotated[
    int | None,
    typer.Option(min=1, help="Only for that many operations.", show_default="until it is switched off"),
]
SecondsOption = Annotated[
    float, typer.Option(min=0, max=86_400, help="How late, for the faults that make something slow.")
]
EveryOption = Annotated[bool, typer.Option("--all", help="Every fault that is on.")]
OptionalName = Annotated[str, typer.Argument(help="A fault that is on.", show_default=False)]


@faults.command("list", epilog="Example: remora cloud faults list")
def list_faults(output: OutputOption = Mode.HUMAN) -> None:
    """List the faults that exist, what each does, and which are on."""
    document = _asked("GET")
    on = {fault["name"]: fault for fault in document["value"]}
    table = Table(box=None, pad_edge=False)
    for column in ("name", "on", "what happens"):
        table.add_column(column, overflow="fold")
    for name, meaning in document["known"].items():
        table.add_row(name, _state(on.get(name)), meaning)
    rows = [
        {"name": name, "what": meaning, "on": name in on, "times": (on.get(name) or {}).get("times")}
        for name, meaning in document["known"].items()
    ]
    Output(output).result("cloud.faults", {"faults": rows}, table)


@faults.command("on", epilog="Example: remora cloud faults on image_pull_denied")
def switch_on(
    name: NameArgument,
    times: TimesOption = None,
    seconds: SecondsOption = 30,
    output: OutputOption = Mode.HUMAN,
) -> None:
    """Switch a fault on. It lasts until it is switched off, or until the local cloud stops."""
    known = _asked("GET")["known"]
    if name not in known:
        near = get_close_matches(name, known, n=3, cutoff=0.4) or list(known)
        hint = f"one of: {listed(near)}; all of them: remora cloud faults list"
        raise InvalidInput(f"there is no fault {name!r}", hint=hint, param="name")
    _asked("POST", {"name": name, "times": times, "seconds": seconds})
    text = f"{name} is on: {known[name]}\nSwitch it off with: remora cloud faults off {name}"
    Output(output).result("cloud.faults.on", {"name": name, "times": times, "seconds": seconds}, text)


@faults.command("off", epilog="Example: remora cloud faults off --all")
def switch_off(
    name: OptionalName = "", every: EveryOption = False, output: OutputOption = Mode.HUMAN
) -> None:
    """Switch a fault off, or all of them."""
    if bool(name) == every:
        raise InvalidInput("name one fault, or all of them", hint="run: remora cloud faults off --all")
    on = sorted(fault["name"] for fault in _asked("GET")["value"])
    chosen = on if every else [name]
    for each in chosen:
        _asked("POST", {"name": each, "times": 0})
    text = f"off: {listed(chosen, most=len(chosen))}" if chosen else "no fault is on"
    Output(output).result("cloud.faults.off", {"names": chosen}, text)


def _asked(method: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """The local cloud's answer about its faults. Raises CloudUnavailable or InvalidInput."""
    connection = local_connection(remora_home())
    unavailable = CloudUnavailable("the local cloud is not running", hint="run: remora cloud start")
    if connection is None:
        raise unavailable
    headers = {"Authorization": f"Bearer {connection['token']}"}
    url = f"{connection['arm_url']}/_faults"
    try:
        answer = httpx.request(method, url, json=body, headers=headers, timeout=_SECONDS)
    except httpx.HTTPError as error:
        raise unavailable from error
    document: dict[str, Any] = answer.json()
    if not answer.is_success:
        raise InvalidInput(document["error"]["message"], hint="see: remora cloud faults list")
    if "known" not in document:
        raise CloudUnavailable(
            "the local cloud that runs is of an older Remora",
            hint="run: remora cloud stop, then start it again",
        )
    return document


def _state(armed: dict[str, Any] | None) -> str:
    if armed is None:
        return ""
    return "on" if armed["times"] is None else f"next {armed['times']}"
