"""Changing a value in a JSON file that somebody wrote: every other byte stays."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remora.project.files.json_text import changed_text, without_comments

WRITTEN = """\ufeff// mine
{
    "$schema": "https://schema.management.azure.com/x#", // not a comment: //
    /* two
       lines */ "parameters": {
        "acaEnvironmentName": { "value": null }, // my environment
        "storageAccountName": {
            "value": "old" /* was: older */
        }
    }
}
"""
SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=6)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
DOCUMENTS = st.dictionaries(st.text(max_size=4), VALUES, max_size=4)


def parsed(text: str) -> Any:
    return json.loads(without_comments(text).removeprefix("\ufeff"))


def test_only_the_value_changes_and_comments_stay() -> None:
    changed = changed_text(WRITTEN, {("parameters", "acaEnvironmentName", "value"): "mine"})
    assert changed == WRITTEN.replace('{ "value": null }', '{ "value": "mine" }')
    again = changed_text(changed, {("parameters", "storageAccountName", "value"): "new"})
    assert again == changed.replace('"old"', '"new"')


def test_an_equal_value_is_left_as_it_is_written() -> None:
    text = '{"a":[1,\n 2], "b": 1}'
    assert changed_text(text, {("a",): [1, 2], ("b",): 1}) == text
    assert changed_text(text, {("b",): True}) == '{"a":[1,\n 2], "b": true}'


def test_a_new_key_goes_to_the_end_in_the_style_of_the_file() -> None:
    changed = changed_text(WRITTEN, {("parameters", "cpu", "value"): ["a", "b"]})
    assert changed.startswith(WRITTEN[: WRITTEN.index('"old"')])
    assert changed.endswith(
        "        },\n"
        '        "cpu": {\n            "value": [\n                "a",\n                "b"\n            ]\n'
        "        }\n    }\n}\n"
    )
    assert parsed(changed)["parameters"]["cpu"] == {"value": ["a", "b"]}


def test_a_comment_stays_with_its_own_line() -> None:
    text = '{\n  "a": 1 // one\n}'
    assert changed_text(text, {("b",): 2}) == '{\n  "a": 1, // one\n  "b": 2\n}'
    assert changed_text('{"a": 1}', {("b",): [2]}) == '{"a": 1, "b": [2]}'


@pytest.mark.parametrize("text", ["{}", "{ }\n", "{\n  // nothing yet\n}\n"])
def test_the_first_key_of_an_empty_object(text: str) -> None:
    changed = changed_text(text, {("a", "b"): 1})
    assert parsed(changed) == {"a": {"b": 1}}
    assert ("// nothing yet" in changed) == ("// nothing yet" in text)


def test_line_ends_are_kept() -> None:
    text = '{\r\n\t"a": 1\r\n}\r\n'
    assert changed_text(text, {("b",): [2]}) == '{\r\n\t"a": 1,\r\n\t"b": [\r\n\t\t2\r\n\t]\r\n}\r\n'


@pytest.mark.parametrize("text", ["[]", '{"a": []}'])
def test_a_path_through_something_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an object"):
        changed_text(text, {("a", "b"): 1})


@settings(max_examples=150, deadline=None)
@given(
    document=DOCUMENTS,
    key=st.text(max_size=4),
    value=VALUES,
    indent=st.sampled_from([None, 1, 4, "\t"]),
    comment=st.sampled_from(["", "// c\n", '/* { [ " */ ']),
)
def test_any_document_reads_back_with_the_change(
    document: dict[str, Any], key: str, value: Any, indent: int | str | None, comment: str
) -> None:
    text = comment + json.dumps(document, indent=indent) + comment
    changed = changed_text(text, {(key,): value})
    assert parsed(changed) == {**document, key: value}
    assert list(parsed(changed))[: len(document)] == list(document)
    assert changed_text(changed, {(key,): value}) == changed
