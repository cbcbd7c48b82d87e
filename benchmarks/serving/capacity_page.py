"""What of docs/explanation/capacity.md is made from results: all between its two marks.

    python -m benchmarks.serving.capacity_page [RESULTS] [PAGE]

The last result of each machine, form and number of adapters counts.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.serving.capacity import Capacity, Costs, Work

from remora.azure.prices import DEFAULT_SIZES, Load, known_elsewhere

BEGIN, END = "<!-- made by `python -m benchmarks.serving.capacity_page`: begin -->", "<!-- end -->"
RESULTS, PAGE = Path("docs/capacity.jsonl"), Path("docs/explanation/capacity.md")
RUNNING = 16  # of a replica, unless [serve] max_running_requests says otherwise
TOKENS = ((128, 64), (512, 128), (1024, 256))
BUSY = 0.7  # of what a replica can do: above that requests wait for each other
WANTED_PER_SECOND = 1.0
FORMS = {"none": "bf16"}


def main() -> None:
    given = [Path(word) for word in sys.argv[1:]]
    results, page = [*given, *(RESULTS, PAGE)[len(given) :]]
    page.write_text(with_results(page.read_text("utf-8"), text(read(results))), encoding="utf-8")


def read(results: Path) -> list[Capacity]:
    """The last of each kind, in the order of the first ones."""
    kept: dict[tuple[str, str, int], Capacity] = {}
    for line in results.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        checks = [(Work(**work), float(rate)) for work, rate in row.pop("checks")]
        capacity = Capacity(**{**row, "costs": Costs(**row["costs"]), "checks": checks})
        kept[capacity.processor, capacity.quantize, capacity.adapters] = capacity
    return list(kept.values())


def with_results(page: str, results: str) -> str:
    """Raises ValueError where the page has no marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page has no {BEGIN} before an {END}")
    return f"{before}{BEGIN}\n\n{results}\n{END}{after}"


def text(measured: Sequence[Capacity]) -> str:
    return "\n".join(line for capacity in measured for line in _section(capacity))


def _section(capacity: Capacity) -> Iterator[str]:
    costs, form = capacity.costs, FORMS.get(capacity.quantize, capacity.quantize)
    yield f"### {capacity.processor}, {capacity.cores} cores, {form}, {capacity.adapters} adapters"
    yield ""
    yield (
        f"A step takes {costs.step * 1e3:.1f} ms, each request in it {costs.row * 1e3:.2f} ms more, "
        f"and a token of a prompt {costs.prompt * 1e3:.2f} ms."
    )
    yield ""
    yield "| load | measured, requests/s | the model says | error |"
    yield "|---|---|---|---|"
    for work, rate in capacity.checks:
        said = costs.requests_per_second(work)
        yield f"| {work} | {rate:.2f} | {said:.2f} | {said / rate - 1:+.0%} |"
    yield ""
    price = known_elsewhere("Consumption", DEFAULT_SIZES["Consumption"], Load(1, 1, 300, 0))
    unit = f"{price.currency}, {price.region}" if price else "price unknown"
    yield (
        "| tokens in and out | one replica, requests/s | an answer takes, s "
        f"| replicas for {WANTED_PER_SECOND:g} request/s | their month, awake all the time ({unit}) |"
    )
    yield "|---|---|---|---|---|"
    for prompt, answer in TOKENS:
        rate = costs.requests_per_second(Work(RUNNING, prompt, answer))
        replicas = math.ceil(WANTED_PER_SECOND / (rate * BUSY))
        month = f"{price.hour_awake * 730 * replicas:,.0f}" if price else "-"
        yield f"| {prompt} and {answer} | {rate:.2f} | {RUNNING / rate:.0f} | {replicas} | {month} |"
    yield ""


if __name__ == "__main__":
    main()
