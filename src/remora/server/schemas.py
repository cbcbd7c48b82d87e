"""What a client may send. Owns the request bodies and which values are neutral; answers nothing.

A field that is not listed here is refused by name. A field of NEUTRAL is accepted with the values that
change nothing (and null), since clients send them unasked; any other value is refused by name, not ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, TypedDict

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from remora.errors import InvalidInput, UnsupportedParameter

SEED_LIMIT = 2**63
LONGEST_STOP_CHARACTERS = 512
MOST_STOP_STRINGS = 4
MOST_BIASES = 1024
MOST_TOP_LOGPROBS = 20
DEFAULT_COMPLETION_TOKENS = 16  # the API's own default for /v1/completions

Neutral = Mapping[str, tuple[object, ...]]

Penalty = Annotated[float, Field(ge=-2, le=2)]
Bias = Annotated[float, Field(ge=-100, le=100)]
TokenId = Annotated[str, Field(pattern=r"^[0-9]{1,9}$")]  # a key of a JSON object is a string
StopString = Annotated[str, Field(min_length=1, max_length=LONGEST_STOP_CHARACTERS)]


def _encodable(text: str) -> str:
    """JSON can spell half of a surrogate pair, but no tokenizer and no answer can."""
    text.encode()
    return text


def _listed(value: object) -> object:
    """A lone string is a list of one, so that what follows has one shape and one error."""
    return [value] if isinstance(value, str) else value


def _listed_parts(value: object) -> object:
    return [{"type": "text", "text": value}] if isinstance(value, str) else value


class Body(BaseModel):
    """A JSON object in which nothing is guessed and nothing is ignored."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)

    neutral: ClassVar[Neutral] = {}

    @model_validator(mode="before")
    @classmethod
    def drop_neutral(cls, body: object) -> object:
        if not isinstance(body, dict):
            return body
        for name in cls.neutral.keys() & body.keys():
            value = body[name]
            if value is not None and value not in cls.neutral[name]:
                raise UnsupportedParameter(
                    f"the parameter {name!r} is not supported", hint="leave it out", param=name
                )
        return {name: value for name, value in body.items() if name not in cls.neutral}


Text = Annotated[str, AfterValidator(_encodable)]


class SamplingFields(TypedDict):
    """Part of a question, as keyword arguments."""

    frequency_penalty: float
    presence_penalty: float
    logit_bias: dict[int, float]
    adapter_scale: float
    temperature: float
    top_p: float
    top_k: int
    seed: int | None
    stop: tuple[str, ...]


class TextPart(Body):
    type: Literal["text"]
    text: Text


class ChatMessage(Body):
    """One turn of the conversation; SDKs send back the null fields of an earlier answer."""

    neutral: ClassVar[Neutral] = {
        "annotations": ([],),
        "audio": (),
        "function_call": (),
        "name": (),
        "refusal": (),
        "tool_calls": ([],),
    }

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[list[TextPart], BeforeValidator(_listed_parts)]

    def as_turn(self) -> dict[str, str]:
        """As chat templates know it: they have no developer, whose word is the system's."""
        role = "system" if self.role == "developer" else self.role
        return {"role": role, "content": "".join(part.text for part in self.content)}


class StreamOptions(Body):
    neutral: ClassVar[Neutral] = {"include_obfuscation": (False,)}

    include_usage: bool = False


class Sampling(Body):
    """What both ways of asking share, in the order of OpenAI's reference.

    Extensions: `top_k`, and `adapter_scale`, which multiplies what the adapter adds to the base model.
    `user` and `metadata` label a request for its sender. They never changed an answer and are not kept.
    """

    model: str
    frequency_penalty: Penalty | None = None
    logit_bias: Annotated[dict[TokenId, Bias] | None, Field(max_length=MOST_BIASES)] = None
    presence_penalty: Penalty | None = None
    seed: Annotated[int, Field(ge=-SEED_LIMIT, lt=SEED_LIMIT)] | None = None
    stop: Annotated[
        list[StopString] | None, Field(max_length=MOST_STOP_STRINGS), BeforeValidator(_listed)
    ] = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    adapter_scale: Annotated[float, Field(ge=0, le=1.5)] | None = None
    user: str | None = None
    metadata: dict[str, str] | None = None

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
            "temperature": 1.0 if self.temperature is None else self.temperature,
            "top_p": 1.0 if self.top_p is None else self.top_p,
            "top_k": self.top_k or 0,
            "seed": self.seed,
            "stop": tuple(self.stop or ()),
        }


NEUTRAL_SAMPLING: Neutral = {"n": (1,)}


class ChatRequest(Sampling):
    neutral: ClassVar[Neutral] = {
        **NEUTRAL_SAMPLING,
        "audio": (),
        "function_call": ("none",),
        "functions": ([],),
        "modalities": (["text"],),
        "moderation": (),
        "parallel_tool_calls": (True, False),
        "prediction": (),
        "reasoning_effort": (),
        "response_format": ({"type": "text"},),
        "service_tier": ("auto", "default"),
        "store": (False,),
        "tool_choice": ("none", "auto"),
        "tools": ([],),
        "verbosity": (),
        "web_search_options": (),
    }

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MOST_TOP_LOGPROBS)] | None = None

    @model_validator(mode="before")
    @classmethod
    def refuse_two_limits(cls, body: Any) -> Any:
        limits = ("max_tokens", "max_completion_tokens")
        if isinstance(body, dict) and all(body.get(name) is not None for name in limits):
            raise InvalidInput(
                "'max_tokens' and 'max_completion_tokens' are both given",
                hint="send only max_completion_tokens",
                param="max_tokens",
            )
        return body

    @model_validator(mode="after")
    def refuse_top_without_logprobs(self) -> Self:
        if self.top_logprobs and not self.logprobs:
            raise InvalidInput(
                "'top_logprobs' is given without 'logprobs'",
                hint="set logprobs to true",
                param="top_logprobs",
            )
        return self

    @property
    def wanted_logprobs(self) -> int | None:
        """How many of the likeliest tokens; None where no log-probabilities are wanted."""
        return (self.top_logprobs or 0) if self.logprobs else None

    @property
    def token_limit(self) -> int | None:
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens


class CompletionRequest(Sampling):
    neutral: ClassVar[Neutral] = {
        **NEUTRAL_SAMPLING,
        "best_of": (1,),
        "echo": (False,),
        "suffix": ("",),
    }

    prompt: Annotated[list[Text], Field(min_length=1, max_length=1), BeforeValidator(_listed)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: Annotated[int, Field(ge=0, le=MOST_TOP_LOGPROBS)] | None = None

    @property
    def token_limit(self) -> int:
        return DEFAULT_COMPLETION_TOKENS if self.max_tokens is None else self.max_tokens
