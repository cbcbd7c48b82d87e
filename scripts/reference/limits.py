"""`reference/limits.md`: the numbers that bound requests, adapters and projects, from the constants."""

from __future__ import annotations

from scripts.reference.table import table

from remora.adapters.peft import module_patterns, tensor_file
from remora.adapters.text import template_process
from remora.project.files import regular_file
from remora.project.scale_settings import MAX_REPLICAS
from remora.project.workspace import MAX_DEPTH
from remora.rollout.endpoint import ANSWER_SECONDS
from remora.rollout.evaluation.scores import MOST_PAIRS
from remora.server.access.limits import SMALL_BODY_BYTES
from remora.server.api.responses import store as response_store
from remora.server.api.schema import completion, sampling, template, tokens, tools
from remora.server.generation.constraints import COMPILE_SECONDS
from remora.server.settings import ServerSettings
from remora.server.telemetry.metrics import MOST_MODELS
from remora.server.wire import http_protocol

HEAD = """# Limits

Numbers that cannot be changed, and what happens beyond them. Made from the code by `make docs`. The limits
that you can set are in [remora.toml](settings.md) under `[serve]` and `[scale]`.
"""


def limits_page() -> str:
    parts = [HEAD]
    for title, rows in (("A request", _request()), ("An answer", _answer()), ("A project", _project())):
        parts += [f"## {title}\n", table(("What", "Limit", "Beyond it"), rows)]
    return "\n".join(parts)


def _request() -> list[tuple[str, str, str]]:
    settings = ServerSettings()
    return [
        ("Body", _size(settings.max_body_bytes), "413 `request_too_large`"),
        ("Body where no key is asked for", _size(SMALL_BODY_BYTES), "413 `request_too_large`"),
        ("Time for the body", _seconds(settings.body_seconds), "408 `request_timeout`"),
        ("Headers", _size(settings.max_header_bytes), "431 `headers_too_large`"),
        ("Time for the headers", _seconds(http_protocol.HEADER_SECONDS), "the connection is closed"),
        ("Headers and trailers, number", f"{http_protocol.MOST_HEADERS}", "431 `headers_too_large`"),
        ("Prompts in one text completion", f"{completion.MOST_PROMPTS:,}", "400 `invalid_value`"),
        ("Tools", f"{tools.MOST_TOOLS}", "400 `invalid_value`"),
        ("Variables for the chat template", f"{template.MOST_VARIABLES}", "400 `invalid_value`"),
        ("Stop strings", f"{sampling.MOST_STOP_STRINGS}", "400 `invalid_value`"),
        ("Stop tokens", f"{sampling.MOST_STOP_TOKENS}", "400 `invalid_value`"),
        ("Entries of `logit_bias`", f"{sampling.MOST_BIASES:,}", "400 `invalid_value`"),
        ("Tokens to `/detokenize`", f"{tokens.MOST_TOKENS:,}", "400 `invalid_value`"),
        ("Compiling a format or a grammar", _seconds(COMPILE_SECONDS), "400 `invalid_value`"),
    ]


def _answer() -> list[tuple[str, str, str]]:
    settings = ServerSettings()
    return [
        ("Choices (`n`)", f"{sampling.MOST_CHOICES}", "400 `invalid_value`"),
        ("Alternatives with `top_logprobs`", f"{sampling.MOST_TOP_LOGPROBS}", "400 `invalid_value`"),
        ("`adapter_scale`", f"{sampling.MOST_SCALE:g}", "400 `invalid_value`"),
        ("Silence in a stream", _seconds(settings.keep_alive_seconds), "a comment is sent"),
        (
            "Time to finish after SIGTERM",
            _seconds(settings.graceful_shutdown_seconds),
            "the answer ends with an error",
        ),
        ("Kept responses of a replica", f"{response_store.MOST_RESPONSES:,}", "the oldest is forgotten"),
        ("Their text", f"{response_store.MOST_CHARACTERS:,} characters", "the oldest is forgotten"),
        ("Their age", _seconds(response_store.KEPT_SECONDS), "404"),
        ("A request through Container Apps' ingress", "240 seconds", "Azure answers 504"),
        ("A command's wait for an answer", _seconds(ANSWER_SECONDS), "exit code 7"),
        ("Models with metrics of their own", f"{MOST_MODELS}", "counted as `other`"),
        ("A session of the chat page", _seconds(settings.session_seconds), "sign in again"),
    ]


def _project() -> list[tuple[str, str, str]]:
    return [
        ("Replicas", f"{MAX_REPLICAS:,}", "refused, as by Container Apps"),
        ("Depth of folders that are searched", f"{MAX_DEPTH}", "not found; name it in `remora.toml`"),
        ("A settings file", _size(regular_file.MAX_BYTES), "`invalid_file`"),
        ("Header of a safetensors file", _size(tensor_file.MAX_HEADER_BYTES), "`adapter_rejected`"),
        ("Name of a tensor", f"{tensor_file.MAX_NAME_CHARACTERS} characters", "`adapter_rejected`"),
        (
            "A pattern in `target_modules`",
            f"{module_patterns.MAX_CHARACTERS:,} characters",
            "`adapter_rejected`",
        ),
        ("Matching such a pattern", _seconds(module_patterns.LIMIT_SECONDS), "`adapter_rejected`"),
        (
            "Rendering a chat template",
            f"{_seconds(template_process.LIMIT_SECONDS)} of processor time",
            "refused",
        ),
        ("Memory for it", _size(template_process.MEMORY_BYTES), "refused"),
        ("Pairs of one `remora eval`", f"{MOST_PAIRS:,}", "`invalid_value`"),
    ]


def _size(number: float) -> str:
    for unit, factor in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if number % factor == 0:
            return f"{number // factor:g} {unit}"
    return f"{number:,} bytes"


def _seconds(number: float) -> str:
    return f"{number / 3600:g} hours" if number >= 7200 else f"{number:g} seconds"
