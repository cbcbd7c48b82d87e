"""The template language: values, errors, and that no text ever breaks the parser."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containerapps_emulator.arm.deployments.record import camel_case
from containerapps_emulator.arm.lenient_json import locate
from containerapps_emulator.arm.templates.expressions import ExpressionError
from containerapps_emulator.arm.templates.scope import Scope
from containerapps_emulator.arm.templates.surroundings import Surroundings

_GROUP_ID = "/subscriptions/s/resourceGroups/MyGroup"


def scope(**parameters: Any) -> Scope:
    surroundings = Surroundings(
        subscription={"id": "/subscriptions/s", "subscriptionId": "s"},
        tenant_id="t",
        group={"id": _GROUP_ID, "name": "MyGroup", "location": "eastus"},
        deployment={"name": "d"},
    )
    variables = {"one": 1, "greeting": "[concat('hello ', parameters('who'))]", "loop": "[variables('loop')]"}
    return Scope(
        surroundings, parameters=parameters, defaults={"who": "[toUpper('you')]"}, variables=variables
    )


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("[uniqueString('snap', 'crackle', 'pop')]", "byghxckddilkc"),
        ("[uniqueString('asd', 'asdf', 'asdf')]", "iizpqit7ih3cc"),
        ("plain", "plain"),
        ("[[not an expression]", "[not an expression]"),
        ("[open", "[open"),
        ("['it''s']", "it's"),
        ("[variables('greeting')]", "hello YOU"),
        ("[VARIABLES('ONE')]", 1),
        ("[length(substring(uniqueString(resourceGroup().id), 0, 5))]", 5),
        ("[resourceGroup()['LOCATION']]", "eastus"),
        ("[createArray(1, 2, 3)[1]]", 2),
        ("[createObject('a', createArray(true(), null())).a[0]]", True),
        ("[format('{0}-{1}-{{x}}', 'a', 7)]", "a-7-{x}"),
        ("[join(createArray('cd /mount', 'python3 app.py'), '; ')]", "cd /mount; python3 app.py"),
        ("[if(equals(1, 2), substring('x', 9, 9), 'lazy')]", "lazy"),
        ("[coalesce(null(), 'second')]", "second"),
        ("[empty(createObject())]", True),
        ("[contains(createObject('Key', 1), 'key')]", True),
        (
            "[union(createObject('a', createObject('b', 1)), createObject('a', createObject('c', 2)))]",
            {"a": {"b": 1, "c": 2}},
        ),
        ("[string(createObject('a', createArray(1, true())))]", '{"a":[1,true]}'),
        ("[json('{\"cpu\": 0.5}').cpu]", 0.5),
        ("[div(-7, 2)]", -3),
        ("[mod(-7, 2)]", -1),
        ("[bool('False')]", False),
        ("[split('a,b;c', createArray(',', ';'))]", ["a", "b", "c"]),
        (
            "[resourceId('Microsoft.App/managedEnvironments/storages', 'e', 's')]",
            f"{_GROUP_ID}/providers/Microsoft.App/managedEnvironments/e/storages/s",
        ),
        ("[or(true(), equals(1, fail('not looked at')))]", True),
        ("[and(false(), fail('not looked at'))]", False),
        ("[filter(createArray(1, 2, 3), lambda('n', greater(lambdaVariables('n'), 1)))]", [2, 3]),
        (
            "[map(createArray('a', 'b'), "
            "lambda('x', 'i', format('{0}{1}', lambdaVariables('x'), lambdaVariables('i'))))]",
            ["a0", "b1"],
        ),
        (
            "[map(createArray(1, 2), "
            "lambda('x', map(createArray(10, 20), "
            "lambda('y', add(lambdaVariables('x'), lambdaVariables('y'))))))]",
            [[11, 21], [12, 22]],
        ),
        (
            "[sort(createArray(3, 1, 2), "
            "lambda('a', 'b', less(lambdaVariables('a'), lambdaVariables('b'))))]",
            [1, 2, 3],
        ),
        (
            "[reduce(range(1, 4), 0, lambda('sum', 'n', add(lambdaVariables('sum'), lambdaVariables('n'))))]",
            10,
        ),
        (
            "[reduce(createArray('a', 'b'), '', "
            "lambda('s', 'x', 'i', "
            "concat(lambdaVariables('s'), lambdaVariables('x'), string(lambdaVariables('i')))))]",
            "a0b1",
        ),
        (
            "[toObject(createArray('a', 'b'), "
            "lambda('k', lambdaVariables('k')), lambda('k', length(lambdaVariables('k'))))]",
            {"a": 1, "b": 1},
        ),
        (
            "[groupBy(createArray('ab', 'ac', 'b'), lambda('x', first(lambdaVariables('x'))))]",
            {"a": ["ab", "ac"], "b": ["b"]},
        ),
        ("[mapValues(createObject('a', 1), lambda('v', add(lambdaVariables('v'), 1)))]", {"a": 2}),
        ("[dateTimeAdd('2023-01-31T10:00:00Z', 'P1M1DT1H')]", "2023-03-01T11:00:00Z"),
        ("[dateTimeAdd('2020-02-29', '-P1Y', 'yyyy-MM-dd')]", "2019-02-28"),
        ("[dateTimeToEpoch(dateTimeFromEpoch(1683040573))]", 1683040573),
        ("[dateTimeFromEpoch(1683040573)]", "2023-05-02T15:16:13Z"),
        ("[indexOf(createArray('a', 'b', 'a'), 'a')]", 0),
        ("[lastIndexOf(createArray('a', 'b', 'a'), 'a')]", 2),
        ("[indexFromEnd(createArray(1, 2, 3), 1)]", 3),
        ("[tryIndexFromEnd(createArray(1), 5)]", None),
        (
            "[shallowMerge(createArray(createObject('a', createObject('b', 1)), createObject('a', 2)))]",
            {"a": 2},
        ),
        ("[base64ToJson(base64('{\"a\": 1}')).a]", 1),
        ("[dataUriToString(dataUri('Hello'))]", "Hello"),
        ("[uriComponentToString(uriComponent('a b/ü'))]", "a b/ü"),
        ("[float('2.5')]", 2.5),
        ("[json('{a: 1, /* c */ b: [1,]}').b]", [1]),
        (
            "[subscriptionResourceId('Microsoft.Resources/resourceGroups', 'g')]",
            "/subscriptions/s/resourceGroups/g",
        ),
        ("[tenantResourceId('Microsoft.X/y', 'z')]", "/providers/Microsoft.X/y/z"),
        (
            "[extensionResourceId(resourceGroup().id, 'Microsoft.X/y', 'z')]",
            f"{_GROUP_ID}/providers/Microsoft.X/y/z",
        ),
        ("[environment().suffixes.storage]", "local.invalid"),
        ("[deployment().name]", "d"),
        ("[tenant().tenantId]", "t"),
        (
            "[resourceId('other', 'Microsoft.App/jobs', 'j')]",
            "/subscriptions/s/resourceGroups/other/providers/Microsoft.App/jobs/j",
        ),
    ],
)
def test_values(expression: str, value: Any) -> None:
    assert scope().evaluate(expression) == value


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("[nosuch('x')]", "function 'nosuch' is not valid"),
        ("[concat('a']", "found the end, expected ','"),
        ("[concat('a',)]", "found ')'"),
        ("[concat('a' 'b')]", "expected ','"),
        ("[$x]", "unexpected character"),
        ("[]", "found the end"),
        ("[parameters('nosuch')]", "parameter 'nosuch' is not found"),
        ("[variables('loop')]", "refers to itself"),
        ("[resourceGroup().nosuch]", "available properties are 'id, name, location'"),
        ("[createArray(1)[1]]", "out of bounds"),
        ("[reference('x').y]", "'reference' is not expected at this location"),
        ("[listKeys('x', '2023-01-01')]", "'listkeys' is not expected at this location"),
        ("[substring('abc', 2, 2)]", "must refer to a location within the string"),
        ("[add('1', 2)]", "arguments of type 'String, Integer'"),
        ("[add(1)]", "does not take '1' arguments"),
        ("[format('{0:N2}', 1)]", "not supported"),
        ("[resourceId('Microsoft.App/jobs')]", "requires '1' resource name"),
        ("[fail('on purpose')]", "on purpose"),
        ("[lambda('x', 1)]", "A lambda is not expected"),
        ("[createArray(lambda('x', 1))]", "does not take a lambda"),
        ("[map(createArray(1), lambda('x', lambda('y', 1)))]", "cannot return another lambda"),
        ("[map(createArray(1), 'x')]", "arguments of type 'Array, String'"),
        ("[filter(createArray(1), lambda('x', 1))]", "must return a boolean"),
        ("[map(createArray(1), lambda(resourceGroup(), 1))]", "must be strings"),
        ("[lambdaVariables('x')]", "lambda variable 'x' is not found"),
        ("[copyIndex()]", "there is no loop"),
        ("[copyIndex('l')]", "there is no loop 'l'"),
        ("[dateTimeAdd('2020-01-01', 'P')]", "is not an ISO 8601 duration"),
        ("[dateTimeAdd('2020-01-01', 'P1D', 'q')]", "does not support the date format letter 'q'"),
        ("[dateTimeAdd('soon', 'P1D')]", "are not valid"),
        ("[utcNow()]", "not expected at this location"),
        ("[json('NaN')]", "are not valid"),
        ("[float('inf')]", "are not valid"),
        ("[and(1, true())]", "must be booleans"),
        ("[own.none(1)]", "function 'own.none' is not valid"),
        ("[concat.(1)]", "found '('"),
        ("[newGuid()]", "not expected at this location"),
        ("[" + "not(" * 100 + "true()" + ")" * 100 + "]", "nested deeper"),
        ("[resourceGroup()" + ".a" * 5000 + "]", "nested deeper"),
    ],
)
def test_errors(expression: str, reason: str) -> None:
    with pytest.raises(ExpressionError, match=re.escape(reason)):
        scope().evaluate(expression)


@given(st.text(alphabet="abc()[]'.,-19 {}", max_size=60))
def test_any_text_gives_a_value_or_an_expression_error(text: str) -> None:
    with contextlib.suppress(ExpressionError):
        scope().evaluate(f"[{text}]")


def test_unique_string_depends_on_letter_case() -> None:
    assert scope().evaluate("[uniqueString('A')]") != scope().evaluate("[uniqueString('a')]")


@pytest.mark.parametrize(
    ("name", "returned"),
    [
        ("NewNSG", "newNSG"),
        ("TRANS_Test", "tranS_Test"),
        ("Empty", "empty"),
        ("already", "already"),
        ("A", "a"),
    ],
)
def test_output_names_come_back_as_azure_spells_them(name: str, returned: str) -> None:
    assert camel_case(name) == returned


def test_locate_counts_lines_and_columns_from_one() -> None:
    text = '{"a": [1, {"b": 2}],\n  "c": {"d\\"": 1, "e":\n {"f": 3}}}'
    found = locate(text, "c", "e")
    assert found is not None
    assert (found.line, found.column) == (3, 2)
    assert locate(text, "c", "missing") is None
