"""The program that renders chat templates, for `template_process`, which runs it as a process of its own.

A chat template is a program that the model's author wrote. It runs here in Jinja's sandbox, without the
environment of the parent, with a limit on its processor time that the kernel keeps, and one on its memory.
The names and filters that it finds are those of transformers' `apply_chat_template`.

One JSON document a line: the request in, `{"text": …}` or `{"error": …, "line": …}` out. The first line says
where modules are found. Imports nothing of Remora.
"""

from __future__ import annotations

import functools
import json
import sys
import traceback
from contextlib import suppress
from typing import Any


def main() -> None:
    sys.path[:] = json.loads(sys.stdin.readline())
    limits = json.loads(sys.stdin.readline())
    _limit_memory(limits["memory_bytes"])
    for line in sys.stdin:
        _allow(limits["seconds"])
        answer = json.dumps(_answer(json.loads(line), limits["characters"]))
        _allow(0)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


def _answer(request: dict[str, Any], most_characters: int) -> dict[str, Any]:
    try:
        text = _compiled(request["template"]).render(request["variables"])
    except MemoryError:
        return {"error": "it needs more memory than a template may", "line": None}
    except Exception as error:  # a template can raise anything
        return {"error": _reason(error), "line": _line_of(error)}
    if len(text) > most_characters:
        return {"error": f"it made {len(text)} characters", "line": None}
    return {"text": text}


@functools.lru_cache(maxsize=64)
def _compiled(template: str) -> Any:
    """With the environment of transformers (utils/chat_template_utils.py)."""
    import jinja2.ext
    import jinja2.nodes
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(jinja2.ext.Extension):
        """`{% generation %}` marks what the assistant says, for training: the text is all that matters."""

        tags = {"generation"}  # noqa: RUF012 - as Jinja has it

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return jinja2.nodes.Scope(body, lineno=line)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = _strftime_now
    return environment.from_string(template)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: Any = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    """Jinja's own escapes HTML."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise(message: Any) -> None:
    from jinja2 import TemplateError

    raise TemplateError(str(message))


def _strftime_now(form: str) -> str:
    from datetime import datetime

    return datetime.now().strftime(form)  # noqa: DTZ005 - the wall clock, as in transformers


def _reason(error: Exception) -> str:
    first = str(error).strip().partition("\n")[0]
    name = type(error).__name__
    return first if name == "TemplateError" and first else f"{name}: {first}" if first else name


def _line_of(error: Exception) -> int | None:
    """Which line of the template; Jinja writes it into the traceback."""
    if isinstance(line := getattr(error, "lineno", None), int):
        return line
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<template>"
    ]
    return lines[-1] if lines else None


def _allow(seconds: float) -> None:
    """Processor time until the kernel ends this process; 0 is any. Idle machines and busy ones are alike."""
    import signal

    signal.setitimer(signal.ITIMER_PROF, seconds)


def _limit_memory(size_bytes: int) -> None:
    with suppress(ImportError, OSError, ValueError):  # not every system can
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (size_bytes, size_bytes))


if __name__ == "__main__":
    main()
