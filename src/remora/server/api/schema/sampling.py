"""What the ways of asking share: how an answer is drawn, ended and streamed. Owns those fields' limits."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self, TypedDict

from pydantic import BeforeValidator, Field, model_validator

from remora.engine.text.pieces import TextRules
from remora.server.api.schema.body import Body, RequestBody, fault, listed
from remora.server.api.schema.neutral import ANYBODYS, Neutral
from remora.server.api.schema.structured import StructuredFields

SEED_LIMIT = 2**63
LONGEST_STOP_CHARACTERS = 512
MOST_STOP_STRINGS = 64
MOST_STOP_TOKENS = 256
MOST_BIASES = 1024
MOST_TOP_LOGPROBS = 20
MOST_CHOICES = 16
MOST_SCALE = 1.5
MOST_REPETITION_PENALTY = 10

Penalty = Annotated[float, Field(ge=-2, le=2)]
Bias = Annotated[float, Field(ge=-100, le=100)]
TokenId = Annotated[str, Field(pattern=r"^[0-9]{1,9}$")]  # a key of a JSON object is a string
StopString = Annotated[str, Field(min_length=1, max_length=LONGEST_STOP_CHARACTERS)]
Temperature = Annotated[float, Field(ge=0, le=2)]
TopP = Annotated[float, Field(ge=0, le=1)]
TopK = Annotated[int, Field(ge=0)]
Scale = Annotated[float, Field(ge=0, le=MOST_SCALE)]
AdapterLayer = Annotated[int, Field(ge=0)]
TopLogprobs = Annotated[int, Field(ge=0, le=MOST_TOP_LOGPROBS)]
Limit = Annotated[int, Field(ge=1)]
Id = Annotated[int, Field(ge=0, lt=2**31)]


class SamplingFields(TypedDict):
    """Part of a question, as keyword arguments."""

    frequency_penalty: float
    presence_penalty: float
    logit_bias: dict[int, float]
    adapter_scale: float
    adapter_without_layer: int | None
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    repetition_penalty: float
    seed: int | None
    min_tokens: int
    stop_token_ids: frozenset[int]
    ignore_eos: bool
    text_rules: TextRules
    prompt_logprobs: int | None
    truncate_prompt_tokens: int | None


class StreamOptions(Body):
    neutral: ClassVar[Neutral] = {"include_obfuscation": (False,)}

    include_usage: bool = False
    continuous_usage_stats: bool = False


class Sampling(StructuredFields, RequestBody):
    """The fields of chat and of text completions, in the order of OpenAI's reference, then vLLM's.

    Two extensions of ours: `adapter_scale`, which multiplies what the adapter adds to the base model, and
    `adapter_without_layer`, the layer in which it adds nothing.
    `user`, `safety_identifier`, `prompt_cache_key` and `metadata` label a request for its sender. They never
    changed an answer and are not kept.
    """

    neutral: ClassVar[Neutral] = ANYBODYS

    model: str
    frequency_penalty: Penalty | None = None
    logit_bias: Annotated[dict[TokenId, Bias] | None, Field(max_length=MOST_BIASES)] = None
    n: Annotated[int, Field(ge=1, le=MOST_CHOICES)] | None = None
    presence_penalty: Penalty | None = None
    seed: Annotated[int, Field(ge=-SEED_LIMIT, lt=SEED_LIMIT)] | None = None
    stop: Annotated[
        list[StopString] | None,
        Field(max_length=MOST_STOP_STRINGS),
        BeforeValidator(listed, json_schema_input_type=str | list[StopString] | None),
    ] = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: TopK | None = None
    adapter_scale: Scale | None = None
    adapter_without_layer: AdapterLayer | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=MOST_REPETITION_PENALTY)] | None = None
    min_tokens: Annotated[int, Field(ge=0)] | None = None
    stop_token_ids: Annotated[list[Id], Field(max_length=MOST_STOP_TOKENS)] | None = None
    ignore_eos: bool | None = None
    include_stop_str_in_output: bool | None = None
    skip_special_tokens: bool | None = None
    prompt_logprobs: TopLogprobs | None = None
    return_token_ids: bool | None = None
    truncate_prompt_tokens: Annotated[int, Field(ge=-1)] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    metadata: dict[str, str] | None = None

    @property
    def choice_count(self) -> int:
        return self.n or 1

    @model_validator(mode="after")
    def refuse_what_vllms_fields_exclude(self) -> Self:
        if self.stream and self.prompt_logprobs is not None:
            raise fault(
                "'prompt_logprobs' are not available in a stream", "prompt_logprobs", "leave out stream"
            )
        if self.truncate_prompt_tokens == 0:
            raise fault("'truncate_prompt_tokens' is 0, which leaves no prompt", "truncate_prompt_tokens")
        return self

    @property
    def wants_continuous_usage(self) -> bool:
        return (
            self.wants_usage
            and self.stream_options is not None
            and self.stream_options.continuous_usage_stats
        )

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def sampling(self) -> SamplingFields:
        """The fields of a question that are the same for both routes, the API's defaults filled in."""
        return {
            "frequency_penalty": self.frequency_penalty or 0.0,
            "presence_penalty": self.presence_penalty or 0.0,
            "logit_bias": {int(token_id): bias for token_id, bias in (self.logit_bias or {}).items()},
            "adapter_scale": 1.0 if self.adapter_scale is None else self.adapter_scale,
            "adapter_without_layer": self.adapter_without_layer,
            "temperature": 1.0 if self.temperature is None else self.temperature,
            "top_p": 1.0 if self.top_p is None else self.top_p,
            "top_k": self.top_k or 0,
            "min_p": self.min_p or 0.0,
            "repetition_penalty": 1.0 if self.repetition_penalty is None else self.repetition_penalty,
            "seed": self.seed,
            "min_tokens": self.min_tokens or 0,
            "stop_token_ids": frozenset(self.stop_token_ids or ()),
            "ignore_eos": bool(self.ignore_eos),
            "text_rules": TextRules(
                tuple(self.stop or ()),
                keeps_stop=bool(self.include_stop_str_in_output),
                skips_special=self.skip_special_tokens is not False,
            ),
            "prompt_logprobs": self.prompt_logprobs,
            "truncate_prompt_tokens": self.truncate_prompt_tokens,
        }
