"""The bodies of POST /tokenize and /detokenize, as vLLM has them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from remora.errors import InvalidInput
from remora.server.schema.body import Body, Neutral, Text
from remora.server.schema.chat import ChatMessage
from remora.server.schema.completion import HIGHEST_TOKEN_ID
from remora.server.schema.tools import Tools

MOST_TOKENS = 1_000_000


class TokenizeRequest(Body):
    """A prompt, or messages with the tools that go with them; special tokens are always added."""

    neutral: ClassVar[Neutral] = {
        "add_generation_prompt": (True,),
        "add_special_tokens": (True,),
        "chat_template": (),
        "chat_template_kwargs": ({},),
        "continue_final_message": (False,),
        "mm_processor_kwargs": ({},),
    }

    model: str
    prompt: Text | None = None
    messages: Annotated[list[ChatMessage] | None, Field(min_length=1)] = None
    tools: Tools | None = None
    return_token_strs: bool | None = None

    @model_validator(mode="after")
    def one_of_two(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise InvalidInput("send either 'prompt' or 'messages'", param="prompt")
        if self.tools and self.messages is None:
            raise InvalidInput("'tools' go with messages only", param="tools")
        return self


class DetokenizeRequest(Body):
    model: str
    tokens: Annotated[list[Annotated[int, Field(ge=0, le=HIGHEST_TOKEN_ID)]], Field(max_length=MOST_TOKENS)]
