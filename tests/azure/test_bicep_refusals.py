"""What the compiler does not compile is refused, with file, line and column, and how to go on."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remora.azure.bicep import compile_bicep
from remora.errors import InvalidFile

R = "resource r 'A.B/c@2024-01-01'"


@pytest.mark.parametrize(
    ("source", "place", "named"),
    [
        ("param a string\nparam b string = ", "2:18", "expected an expression, found the end"),
        ("var a = 1 var b = 2", "1:11", "expected a new line, found var"),
        ("var a = 'it", "1:9", "not closed"),
        ("var a = '''it", "1:9", "not closed"),
        ("var a = '${b'", "1:13", "not closed"),
        ("var a = 'x${1 2}'", "1:15", "expected '}'"),
        (r"var a = 'a\qb'", "1:11", r"unknown escape \q"),
        ("var a = 1 ; 2", "1:11", "unexpected character ';'"),
        ("test t 'x.bicep' = {}", "1:1", "'test' declarations"),
        ("assert a = true", "1:1", "'assert' declarations"),
        ("param p string\nfunc f(a string) string => '${a}${p}'", "2:28", "only use its own parameters"),
        ("func f(a string) string = a", "1:25", "expected '=>', found ="),
        ("extension kubernetes", "1:1", "'extension' declarations"),
        ("banana a = 1", "1:1", "expected a declaration, found banana"),
        ("targetScope = 'planet'", "1:13", "the targetScope must be one of resourceGroup, subscription"),
        (f"targetScope = 'subscription'\n{R} = {{\n  name: 'r'\n  scope: resourceGroup()\n}}", "4:23",
         "resourceGroup() needs a name in a file for a subscription"),
        (f"targetScope = 'subscription'\n{R} = {{\n  name: 'r'\n  scope: resourceGroup('x')\n}}", "2:10",
         "deployed to its subscription"),
        (f"{R} = {{\n  name: 'r'\n  scope: tenant('x')\n}}", "3:16", "the scope tenant is not supported"),
        (f"{R} = {{\n  location: 'x'\n}}", "1:10", "no name"),
        ("resource r 'A.B/c' = {\n  name: 'r'\n}", "1:12", "API version"),
        (f"{R} = {{\n  name: 'r'\n  x: r.id\n}}", "1:10", "itself"),
        (f"{R} = {{\n  name: 'r'\n  dependsOn: ['x']\n}}", "3:15", "not a resource"),
        (f"{R} = {{\n  name: 'r'\n  parent: 'x'\n}}", "3:11", "the parent is not a resource"),
        (f"{R} = {{\n  name: 'r'\n  scope: managementGroup('x')\n}}", "1:10", "to its resourceGroup"),
        (f"{R} = [for i in [1]: {{\n  name: 'r'\n}}]\noutput x object = r", "4:19", "r[…]"),
        (f"{R} = [for i in [1]: {{\n  name: 'r'\n  resource s 'd' = {{\n    name: 's'\n  }}\n}}]", "3:12",
         "nested in a loop"),
        (f"{R} = {{\n  name: 'r'\n}}\noutput x string = r::s.id", "4:20", "'s' is not nested"),
        (f"{R} = {{\n  name: 'r'\n  x: s.id\n}}\nresource s 'A.B/c@2024-01-01' = {{\n  name: r.id\n}}",
         "1:10", "depends on itself"),
        ("@batchSize(1)\n" + R + " = {\n  name: 'r'\n}", "2:10", "loops"),
        ("@onlyIfNotExists(1)\n" + R + " = {\n  name: 'r'\n}", "1:1", "@onlyIfNotExists()"),
        ("@retryOn(['x'])\n" + R + " existing = {\n  name: 'r'\n}", "1:1", "@retryOn() is not allowed here"),
        ("@waitUntil()\n" + R + " = {\n  name: 'r'\n}", "1:1", "@waitUntil()"),
        ("@metadata({})\nfunc f() int => 1", "1:1", "@metadata() is not supported here"),
        ("var Copy = 1", "1:5", "a variable cannot be named 'copy'"),
        ("var a = [for x in [1]: [for y in [1]: y]]", "1:24", "a loop is not supported here"),
        ("var a = { b: [for x in [1]: x] }", "1:14", "a loop is not supported here"),
        ("var a = concat([for x in [1]: x])", "1:16", "a loop is not supported here"),
        ("var a = x => x", "1:9", "a lambda is not supported here"),
        ("var a = concat(x => x)", "1:16", "a lambda is not supported here"),
        ("var a = loadYamlContent('x.yml')", "1:9", "'loadYamlContent'"),
        ("var a = subscription('x').id", "1:26", "a scope with arguments has no properties"),
        ("var a = nothing", "1:9", "'nothing' is not declared"),
        ("var a = nothing()", "1:9", "the function 'nothing'"),
        ("var a = b\nvar b = a", "2:9", "itself"),
        ("var a = 1\nvar a = 2", "2:5", "twice"),
        ("output a int = 1\noutput a int = 1", "2:8", "twice"),
        ("var a = { b: 1, b: 2 }", "1:17", "twice"),
        ("@batchSize(1)\nparam a string", "1:1", "@batchSize()"),
        ("@minLength()\nparam a string", "1:1", "number of arguments"),
        ("@secure()\nparam a int", "2:7", "@secure() is not for int"),
        (f"{R} = {{\n  name: 'r'\n}}\nparam a string = r.id", "4:19", "default value"),
        ("param a unknown", "1:9", "the type 'unknown'"),
        ("param a 'x' | 1", "1:9", "different types"),
    ],
)  # fmt: skip
def test_what_is_not_compiled_is_refused_where_it_stands(source: str, place: str, named: str) -> None:
    with pytest.raises(InvalidFile) as caught:
        compile_bicep(source, Path("infra/x.bicep"))
    assert caught.value.message.startswith(f"infra/x.bicep:{place}: ")
    assert named in caught.value.message
    assert "az bicep install" in caught.value.hint


@pytest.mark.parametrize(
    "source", ["var a = " + "(" * 5000 + "1" + ")" * 5000, "var a = " + "!" * 5000 + "true"]
)
def test_deep_nesting_is_refused(source: str) -> None:
    with pytest.raises(InvalidFile):
        compile_bicep(source, Path("x.bicep"))


PIECES = st.sampled_from(
    [
        *(
            "param a string\n",
            "var b = ",
            "output c array = ",
            "resource r 'A.B/c@2024-01-01' = ",
            "module m 'x' = ",
            "import * as i from 'x.bicep'\n",
            "@export()\ntype t = ",
            "func f(a t.x[*]?) string => ",
            "resourceInput<'A.B/c@2024-01-01'>",
        ),
        *(
            "[for i in l: ",
            "if (b) ",
            "{",
            "}",
            "[",
            "]",
            "(",
            ")",
            "name: ",
            "'x${",
            "'",
            "'''",
            "\n",
            " => ",
        ),
        *(
            "a",
            "b",
            "r",
            ".?x",
            "::",
            "!",
            "-",
            " ? ",
            " : ",
            " ?? ",
            "...",
            "@secure()\n",
            "1",
            "null",
            "\\u{",
            "$",
        ),
    ]
)


@given(st.lists(PIECES, max_size=25).map("".join))
@settings(max_examples=300, deadline=None)
def test_any_text_is_compiled_or_refused(source: str) -> None:
    with contextlib.suppress(InvalidFile):
        assert "resources" in compile_bicep(source, Path("x.bicep"))


_KEYS = "resource s 'A.B/c@2024-01-01' existing = {\n  name: 's'\n}\n"


@pytest.mark.parametrize(
    ("declared", "place", "named"),
    [
        (f"{R} = {{\n  name: s.properties.x\n}}", "5:21", "the name must be known before the deployment"),
        (f"{R} = {{\n  name: s.listKeys().x\n}}", "5:21", "the name must be known before the deployment"),
        (f"{R} = if (s.properties.x) {{\n  name: 'r'\n}}", "4:49", "the condition must be known before"),
        (
            f"{R} = [for i in s.properties.x: {{\n  name: 'r${{i}}'\n}}]",
            "4:55",
            "the loop must be known before",
        ),
    ],
)
def test_what_decides_whether_and_where_something_is_deployed_reads_no_resource(
    declared: str, place: str, named: str
) -> None:
    with pytest.raises(InvalidFile, match=re.escape(named)) as refused:
        compile_bicep(f"{_KEYS}{declared}\n", Path("x.bicep"))
    assert f"x.bicep:{place}" in str(refused.value)


def test_half_of_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(InvalidFile, match="half of a surrogate pair"):
        compile_bicep(r"var a = 'x\u{D83D}y'", Path("x.bicep"))


WHOLE = """\
@description('''Some
  text''')
@minLength(1)
param names string[] = ['a']
import { a as b } from 'x.bicep'
@discriminator('kind')
type shape = { kind: 'x', size: int? } | other.*
@export()
func f(a string, b shape[*]) string => '${a}-${toUpper(b)}'
@batchSize(1)
resource many 'My.App/envs@2024-01-01' = [for (n, i) in names: if (i > 0) {
  name: 'n-${n}\\u{1F600}'
  tags: { ...shared, 'x-${i}': map(names, x => x.?y[^1]) }
  dependsOn: [many[0], ...(true ? [] : [one])]
  resource inner 'parts' existing = {
    name: 'inner'
  }
}]
module m 'br/public:a/b:1.0' = {
  params: { all: [for k in names: k], key: one::inner.listKeys()! }
}
output o resourceInput<'My.App/envs@2024-01-01'>.name = m.outputs.?o ?? f('a', null)
"""


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_damaged_file_is_compiled_or_refused(data: st.DataObject) -> None:
    lines = WHOLE.splitlines(keepends=True)
    text = "".join(data.draw(st.permutations(lines)) if data.draw(st.booleans()) else lines)
    for _ in range(data.draw(st.integers(0, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(start + 30, len(text))))
        text = text[:start] + data.draw(st.sampled_from(["", "\\u{D83D}", *text[start:end]])) + text[end:]
    with contextlib.suppress(InvalidFile):
        assert "resources" in compile_bicep(text, Path("x.bicep"))
