"""lm-evaluation-harness against the endpoint. Owns how it is called and what of its results is kept.

It scores with the endpoint's own tokenizer and its prompt log-probabilities, so adapters are scored where
they are served. It is an extra: `pip install 'remora[eval]'`.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remora.errors import InvalidInput, NotOffered, RemoraError, said

PACKAGE = "lm_eval"
MODEL_KIND = "local-completions"
CONCURRENT_REQUESTS = 4
SIGMAS = 1.96  # of a 95 % interval


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of one task, with its 95 % interval where the harness knows its error."""

    task: str
    name: str
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Tasks:
    """The harness's own tasks, and those in `folder`; `limit` examples of each, None for all."""

    names: Sequence[str]
    folder: Path | None = None
    limit: int | None = None


def check_installed() -> None:
    """Raises NotOffered where the harness is not installed."""
    if importlib.util.find_spec(PACKAGE) is None:
        raise NotOffered(
            "lm-evaluation-harness is not installed",
            hint="install it: pip install 'remora[eval]', or measure your own pairs with --pairs",
        )


def harness_metrics(url: str, api_key: str, model: str, tasks: Tasks) -> list[Metric]:
    """What the harness measures of this model. Raises InvalidInput for unknown tasks.

    In this process and not by its command, whose arguments everybody here could read: one is the key.
    """
    check_installed()
    harness, known = importlib.import_module(PACKAGE), importlib.import_module(f"{PACKAGE}.tasks")
    manager = known.TaskManager(include_path=str(tasks.folder) if tasks.folder else None)
    unknown = [name for name in tasks.names if name not in manager.all_tasks]
    if unknown:
        raise InvalidInput(
            f"lm-evaluation-harness has no task {unknown[0]!r}", hint="see: lm-eval ls tasks", param="--tasks"
        )
    settings = {
        "model": model,
        "base_url": f"{url}/v1/completions",
        "tokenizer_backend": "remote",
        "auth_token": api_key or None,  # for the tokenizer; what is scored goes with the header
        "header": {"Authorization": f"Bearer {api_key}"} if api_key else None,
        "num_concurrent": CONCURRENT_REQUESTS,
    }
    try:
        found = harness.simple_evaluate(
            model=MODEL_KIND,
            model_args=settings,
            tasks=list(tasks.names),
            task_manager=manager,
            limit=tasks.limit,
        )
    except RemoraError:
        raise
    except Exception as error:  # whatever the harness, its data sets and their hub raise
        raise NotOffered(
            f"lm-evaluation-harness failed: {said(error)}", hint="see its lines above"
        ) from error
    return metrics_of(found["results"])


def metrics_of(results: Mapping[str, Mapping[str, Any]]) -> list[Metric]:
    """The numbers in the harness's results: `acc,none` with `acc_stderr,none`."""
    found: list[Metric] = []
    for task, fields in results.items():
        for key, value in fields.items():
            name, _, kind = key.partition(",")
            if not kind or name.endswith("_stderr") or isinstance(value, bool | str):
                continue
            error = fields.get(f"{name}_stderr,{kind}")
            wide = SIGMAS * error if isinstance(error, float) else None
            shown = name if kind == "none" else f"{name} ({kind})"
            low, high = (None, None) if wide is None else (value - wide, value + wide)
            found.append(Metric(task, shown, float(value), low, high))
    return found
