"""The comparison that `remora deploy` makes before the switch: where its prompts and its report are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from remora.cli.context import Deployment
from remora.errors import RemoraError, writing
from remora.project.files.json_file import replace_text
from remora.rollout.compare.comparison import Comparison
from remora.rollout.compare.document import document_of, encoded
from remora.rollout.compare.gathering import Limits
from remora.rollout.compare.questions import GOLDEN, questions_of
from remora.rollout.endpoint import Endpoint
from remora.rollout.gates.measuring import Measuring
from remora.rollout.revision.candidate import RELEASE_VARIABLE, look

REPORT = "comparison.html"


def measuring_for(deployment: Deployment, base_name: str, *, report: bool) -> Measuring | None:
    """What to measure; None if neither a report nor a bound is asked for. Raises InvalidFile."""
    settings = deployment.settings
    gate = settings.gate
    if not report and not gate.asks:
        return None
    source = gate.prompts if gate.prompts == GOLDEN else str(settings.root / gate.prompts)
    return Measuring(
        base_name=base_name,
        gate=gate,
        questions=questions_of(source, settings.root),
        serving=lambda: _serving(deployment),
        keep=_writer(settings.root, gate.prompts) if report else lambda *_: None,
        limits=Limits() if report else Limits(heat_prompts=0),  # only a report shows the heat of tokens
    )


def _serving(deployment: Deployment) -> Endpoint | None:
    try:
        if look(deployment.app).environment.get(RELEASE_VARIABLE):
            return deployment.endpoint()
    except RemoraError:
        pass  # nothing that could be asked
    return None


def _writer(root: Path, source: str) -> Callable[[Comparison, Limits], None]:
    def write(comparison: Comparison, limits: Limits) -> None:
        from remora.rollout.compare.report import html_of  # with jinja2, which other deploys need not load

        document = document_of(comparison, limits, source=source)
        path = root / REPORT
        with writing(path):
            replace_text(path, html_of(document))
            replace_text(path.with_suffix(".json"), encoded(document))

    return write
