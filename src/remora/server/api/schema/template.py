"""What a request tells the chat template. Owns those fields, for chat, responses and tokenizing."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from remora.server.api.schema.body import Body

MOST_VARIABLES = 64


class TemplateFields(Body):
    """Variables that the template reads: vLLM's names."""

    chat_template_kwargs: Annotated[dict[str, Any] | None, Field(max_length=MOST_VARIABLES)] = None
    enable_thinking: bool | None = None


class ConversationFields(TemplateFields):
    """How the prompt ends, too: with the assistant's turn begun, or with what it has said so far."""

    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None
