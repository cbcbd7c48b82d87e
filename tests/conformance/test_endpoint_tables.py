"""What we publish about the endpoint is what it does: the OpenAPI document and the tables of parameters."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conformance.openai_document import CHAT, RESPONSES, properties

from remora.server.api.documents import OPENAPI_FILE, PAGE_FILE, openapi_text, with_tables
from remora.server.api.schema.body import Body
from remora.server.api.schema.chat import ChatRequest
from remora.server.api.schema.completion import CompletionRequest
from remora.server.api.schema.responses import ResponseRequest

DOCS = Path(__file__).parents[2] / "docs"


def test_the_openapi_document_is_current() -> None:
    assert (DOCS / OPENAPI_FILE).read_text("utf-8") == openapi_text(), "run make docs"


def test_the_tables_are_current() -> None:
    page = (DOCS / PAGE_FILE).read_text("utf-8")
    assert page == with_tables(page), "run make docs"


def test_a_page_without_the_marks_is_not_written() -> None:
    with pytest.raises(ValueError, match="lacks"):
        with_tables("# The endpoint\n")


@pytest.mark.parametrize(
    ("document", "component", "body"),
    [
        (CHAT, "CreateChatCompletionRequest", ChatRequest),
        (CHAT, "CreateCompletionRequest", CompletionRequest),
        (CHAT, "CreateResponse", ResponseRequest),
        (RESPONSES, "CreateResponseBody", ResponseRequest),
    ],
)
def test_every_parameter_of_openais_document_is_supported_or_refused_knowingly(
    document: str, component: str, body: type[Body]
) -> None:
    known = set(body.model_json_schema()["properties"]) | set(body.neutral)
    assert properties(document, component) - known == set()
