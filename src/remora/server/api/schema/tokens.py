"""The bodies of POST /tokenize and /detokenize, as vLLM has them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from remora.errors import InvalidInput
from remora.server.api.schema.body import RequestBody
from remora.server.api.schema.chat import ChatMessage
from remora.server.api.schema.completion import HIGHEST_TOKEN_ID
from remora.server.api.schema.neutral import Neutral
from remora.server.api.schema.template import ConversationFields
from remora.server.api.schema.tools import Tools
from remora.server.generation.template_variables import TemplateOptions

MOST_TOKENS = 1_000_000


class TokenizeRequest(ConversationFields, RequestBody):
    """A prompt, or messages with the tools that go with them; without a model it is the base's."""

    neutral: ClassVar[Neutral] = {
        "chat_template": (),
        "mm_processor_kwargs": ({},),
    }

    model: str | None = None
    prompt: str | None = None
    messages: Annotated[list[ChatMessage] | None, Field(min_length=1)] = None
    tools: Tools | None = None
    return_token_strs: bool | None = None
    add_special_tokens: bool | None = None

    @model_validator(mode="after")
    def one_of_two(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise InvalidInput("send either 'prompt' or 'messages'", param="prompt")
        of_messages = {"tools": self.tools} | {
            name: getattr(self, name) for name in ConversationFields.model_fields
        }
        for name, value in of_messages.items():
            if value and self.messages is None:
                raise InvalidInput(f"{name!r} goes with messages only", param=name)
        if self.messages is not None and self.add_special_tokens:
            raise InvalidInput(
                "'add_special_tokens' goes with a prompt: a chat template has those of a conversation",
                param="add_special_tokens",
            )
        return self

    @property
    def template_options(self) -> TemplateOptions:
        return TemplateOptions(
            thinks=self.enable_thinking,
            variables=self.chat_template_kwargs or {},
            generation_prompt=self.add_generation_prompt,
            continues=bool(self.continue_final_message),
        )


class DetokenizeRequest(RequestBody):
    model: str | None = None
    tokens: Annotated[list[Annotated[int, Field(ge=0, le=HIGHEST_TOKEN_ID)]], Field(max_length=MOST_TOKENS)]
