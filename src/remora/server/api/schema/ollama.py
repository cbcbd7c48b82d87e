"""The bodies of Ollama's POST /api/chat, /api/generate and /api/show."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from remora.engine.text.pieces import TextRules
from remora.server.api.schema.body import Body, RequestBody, listed
from remora.server.api.schema.neutral import ANY, Neutral
from remora.server.api.schema.sampling import (
    MOST_REPETITION_PENALTY,
    MOST_STOP_STRINGS,
    SEED_LIMIT,
    Penalty,
    StopString,
    Temperature,
    TopLogprobs,
    TopP,
)
from remora.server.api.schema.tools import Effort, FunctionName, JsonSchema, Tools
from remora.server.generation.template_variables import TemplateOptions

UNLIMITED = (-1, -2)  # as much as fits, in Ollama's words

# How a model is loaded, which is settled here before anybody asks; and what means nothing without mirostat.
OF_LOADING = (
    *("f16_kv", "logits_all", "low_vram", "main_gpu", "num_batch", "num_ctx", "num_gpu", "num_keep"),
    *("num_thread", "numa", "use_mlock", "use_mmap", "vocab_only", "mirostat_eta", "mirostat_tau"),
)

CallId = Annotated[str, Field(min_length=1, max_length=256)]


class OllamaOptions(Body):
    """How an answer is drawn."""

    neutral: ClassVar[Neutral] = {
        **dict.fromkeys(OF_LOADING, ANY),
        "mirostat": (0,),
        "penalize_newline": (True,),
        "repeat_last_n": (-1, 64),
        "tfs_z": (1,),
        "typical_p": (1,),
    }

    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=-SEED_LIMIT, lt=SEED_LIMIT)] | None = None
    num_predict: Annotated[int, Field(ge=1)] | Literal[-1, -2] | None = None
    repeat_penalty: Annotated[float, Field(gt=0, le=MOST_REPETITION_PENALTY)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    stop: Annotated[
        list[StopString] | None,
        Field(max_length=MOST_STOP_STRINGS),
        BeforeValidator(listed, json_schema_input_type=str | list[StopString] | None),
    ] = None


class CalledOllamaFunction(Body):
    neutral: ClassVar[Neutral] = {"index": ANY}

    name: FunctionName
    arguments: dict[str, Any]


class OllamaCall(Body):
    """A call of an earlier answer. Older clients give it no id."""

    neutral: ClassVar[Neutral] = {"type": ("function",)}

    id: CallId | None = None
    function: CalledOllamaFunction


class OllamaMessage(Body):
    """One turn. A result belongs to the call that it names, else to the first that has none."""

    neutral: ClassVar[Neutral] = {"images": ([],)}

    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    thinking: str | None = None
    tool_calls: list[OllamaCall] | None = None
    tool_name: str | None = None
    tool_call_id: CallId | None = None


class OllamaRequest(RequestBody):
    """What chat and generate share. An answer is streamed unless `stream` is false."""

    neutral: ClassVar[Neutral] = {"keep_alive": ANY, "shift": ANY, "truncate": ANY}

    model: str
    options: OllamaOptions | None = None
    format: Literal["", "json"] | JsonSchema | None = None
    stream: bool | None = None
    think: bool | Effort | None = None
    logprobs: bool | None = None
    top_logprobs: TopLogprobs | None = None

    @property
    def is_streamed(self) -> bool:
        return self.stream is not False

    @property
    def wanted_schema(self) -> JsonSchema | None:
        if isinstance(self.format, dict):
            return self.format
        return {"type": "object"} if self.format == "json" else None

    @property
    def template_options(self) -> TemplateOptions:
        if isinstance(self.think, str):
            return TemplateOptions(effort=self.think, effort_param="think")
        return TemplateOptions(thinks=self.think, thinks_param="think")

    @property
    def wanted_logprobs(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None

    def sampling(self) -> dict[str, Any]:
        """The fields of a question, with the defaults that every other route has, not Ollama's."""
        options = self.options or OllamaOptions()
        limit = options.num_predict
        return {
            "max_tokens": None if limit in UNLIMITED else limit,
            "temperature": 1.0 if options.temperature is None else options.temperature,
            "top_p": 1.0 if options.top_p is None else options.top_p,
            "top_k": options.top_k or 0,
            "min_p": options.min_p or 0.0,
            "seed": options.seed,
            "repetition_penalty": 1.0 if options.repeat_penalty is None else options.repeat_penalty,
            "presence_penalty": options.presence_penalty or 0.0,
            "frequency_penalty": options.frequency_penalty or 0.0,
            "text_rules": TextRules(tuple(options.stop or ())),
            "top_logprobs": self.wanted_logprobs,
            "limit_param": "options.num_predict",
        }


class OllamaChatRequest(OllamaRequest):
    """Without messages nothing is answered: the model is loaded already."""

    messages: list[OllamaMessage] = Field(default_factory=list)
    tools: Tools | None = None


class OllamaGenerateRequest(OllamaRequest):
    """A prompt that goes into the chat template; `raw`, as it is."""

    neutral: ClassVar[Neutral] = {
        **OllamaRequest.neutral,
        "context": ([],),
        "images": ([],),
        "suffix": ("",),
        "template": ("",),
    }

    prompt: str = ""
    system: str | None = None
    raw: bool | None = None


class OllamaShowRequest(RequestBody):
    """`name` is what `model` was called before."""

    neutral: ClassVar[Neutral] = {"verbose": ANY}

    model: str | None = None
    name: str | None = None
