"""What clients send as JSON, strict or as `az deployment` writes it; templates and their recorded hashes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conformance import evidence

from containerapps_emulator.arm.lenient_json import locate, read
from containerapps_emulator.arm.templates.template_hash import exported, minified, template_hash

if TYPE_CHECKING:
    from tests.emulator.arm.conftest import RunningCloud

_AZURE = evidence.folder()
_RECORDINGS = _AZURE / "recordings"
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ('\ufeff{"a": 1}', {"a": 1}),
        (
            '{"properties": {"mode": "x", template:{"a": [] // end\n}}}',
            {"properties": {"mode": "x", "template": {"a": []}}},
        ),
        ("/** one\n two **/ {/**/'it''s': 1}", None),
        ("{'it\\'s': 'a \"b\"'}", {"it's": 'a "b"'}),
        ('{"text": "two\n  lines\\r\\n\ttab"}', {"text": "two\n  lines\r\n\ttab"}),
        ('{"a": "// no comment", b: [1, 2.5, -3e2,],}', {"a": "// no comment", "b": [1, 2.5, -300.0]}),
        ('{"emoji": "\\ud83d\\ude00", "kana": "ここ",}', {"emoji": "😀", "kana": "ここ"}),
        ("[true, false, null, ]", [True, False, None]),
    ],
)
def test_what_is_read(text: str, value: Any) -> None:
    if value is None:
        with pytest.raises(ValueError, match="unexpected"):
            read(text.encode())
    else:
        assert read(text.encode()) == value


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"a": ', "unexpected 'the end'. Path 'a', line 1, position 7"),
        (b'{"a"\n: [1 2]}', "unexpected '2'. Path 'a', line 2, position 6"),
        (b"NaN", "unexpected 'N'"),
        (b"[1e999]", "too large"),
        (b"{a: 1e999}", "too large"),
        (b'"\\ud800"', "surrogate"),
        (b"[" * 100_000, "nested deeper"),
        (b"\xff", "codec can't decode"),
        (b"{a: undefined}", "unexpected 'u'"),
        (b"/* never closed", "unexpected '/'"),
        (b"", "unexpected 'the end'"),
    ],
)
def test_what_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        read(data)


@given(st.binary(max_size=80) | st.text(alphabet="{}[]\"':,/*\\ntru1e-. \n", max_size=60).map(str.encode))
def test_any_bytes_give_a_value_or_a_value_error(data: bytes) -> None:
    try:
        value = read(data)
    except ValueError:
        return
    json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


@given(_VALUES)
def test_strict_json_reads_the_same_with_comments(value: Any) -> None:
    text = json.dumps(value)
    assert read(f"// first\n{text} /* last */".encode()) == read(text.encode()) == value


def test_locate_counts_lines_and_columns_from_one() -> None:
    text = '{"a": [1, {"b": 2}], // the "c" is next\n  "c": {"d\\"": 1, e:\n {"f": 3}}}'
    found = locate(text, "c", "e")
    assert found is not None
    assert (found.line, found.column) == (3, 2)
    assert locate(text, "c", "missing") is None
    assert locate('{"c": ', "c", "e") is None


def recorded() -> Iterator[tuple[dict[str, Any], str]]:
    """Every template that was recorded, and the hash that Azure gave for it."""
    for folder in ("azd", "azure_cli_resource"):
        for path in sorted((_RECORDINGS / folder).glob("*.json")):
            for exchange in json.loads(path.read_text())["exchanges"]:
                asked, answered = exchange["request"].get("body"), exchange["response"]["body"]
                if asked and isinstance(answered, dict) and "templateHash" in answered.get("properties", {}):
                    sent = read(asked.encode()) if isinstance(asked, str) else asked
                    yield sent["properties"]["template"], answered["properties"]["templateHash"]


def test_template_hashes_are_the_recorded_ones() -> None:
    found = list(recorded())
    if not found:
        pytest.skip("the recordings of Azure are not here")
    assert len(found) >= 20
    for template, expected in found:
        assert template_hash(template) == expected


def test_the_normal_form_is_the_documented_one() -> None:
    examples = _AZURE / "specs/resources/resource-manager/Microsoft.Resources/stable/2024-07-01/examples"
    path = examples / "CalculateTemplateHash.json"
    if not path.exists():
        pytest.skip("the documents of Azure are not here")
    example = json.loads(path.read_text())
    template, answer = example["parameters"]["template"], example["responses"]["200"]["body"]
    assert minified(template) == answer["minifiedTemplate"]
    assert template_hash(template) == answer["templateHash"]


def test_an_exported_template_is_in_order_and_capitalised() -> None:
    template = {
        "resources": [{"name": "n", "properties": {}, "apiVersion": "v", "type": "t", "copy": {}}],
        "parameters": {"p": {"type": "secureString", "metadata": {}, "defaultValue": ""}},
        "$schema": "s",
    }
    shown = exported(template)
    assert list(shown) == ["$schema", "parameters", "resources"]
    assert list(shown["parameters"]["p"].items())[:2] == [("defaultValue", ""), ("type", "SecureString")]
    assert list(shown["resources"][0]) == ["type", "apiVersion", "name", "properties", "copy"]


def test_requests_of_the_azure_cli_are_answered_as_recorded(cloud: RunningCloud, group: str) -> None:
    """Templates with comments, unquoted keys and line breaks in strings; the place of a violation in them."""
    path = _RECORDINGS / "azure_cli_resource" / "resource_group_deployment.json"
    if not path.exists():
        pytest.skip("the recordings of Azure are not here")
    exchanges = json.loads(path.read_text())["exchanges"]
    recorded_refusal = next(item for item in exchanges if item["response"]["status"] == 400)
    lite = json.loads(path.with_name("group_deployment_lite.json").read_text())["exchanges"][0]
    url = f"{cloud.groups_path}/{group}/providers/Microsoft.Resources/deployments/az/validate"
    with cloud.http() as http:
        refused, accepted = (
            http.post(url, params={"api-version": "2022-09-01"}, content=item["request"]["body"].encode())
            for item in (recorded_refusal, lite)
        )
    assert (refused.status_code, refused.json()) == (400, recorded_refusal["response"]["body"])
    assert accepted.json()["properties"].keys() == lite["response"]["body"]["properties"].keys()
    assert refused.headers["date"].endswith("GMT")


@pytest.mark.parametrize(
    ("key", "value"), [("location", []), ("location", 1), ("properties", []), ("properties", "x")]
)
def test_a_member_of_the_wrong_kind_is_refused_on_every_write(
    cloud: RunningCloud, group: str, key: str, value: Any
) -> None:
    path = f"{cloud.groups_path}/{group}/providers/Microsoft.OperationalInsights/workspaces/kinds"
    good = {"location": "westeurope", "properties": {}}
    with cloud.http() as http:
        version = {"api-version": "2022-10-01"}
        assert http.put(path, params=version, json=good).status_code in (200, 201)
        for answer in (
            http.put(path, params=version, json={**good, key: value}),
            http.patch(path, params=version, json={key: value}),
        ):
            assert answer.status_code == 400
            assert answer.json()["error"]["code"] == "InvalidRequestContent"
        assert http.get(path, params=version).status_code == 200


def test_more_than_resource_manager_takes_is_refused(cloud: RunningCloud, group: str) -> None:
    path = f"{cloud.groups_path}/{group}?api-version=2022-09-01"
    most = 4 * 1024 * 1024
    filled = '{"location": "eastus"}'
    with cloud.http() as http:
        assert http.put(path, content=filled.ljust(most)).status_code == 200
        refused = http.put(path, content=filled.ljust(most + 1))
    assert refused.status_code == 413
    assert refused.json()["error"]["code"] == "RequestContentTooLarge"
