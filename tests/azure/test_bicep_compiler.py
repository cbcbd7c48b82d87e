"""Bicep's expressions, parameters, variables and types become what the Bicep CLI's conventions say."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.azure.bicep_builders import DECLARED, compiled, variable


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("'plain'", "plain"),
        ("'[looks like an expression]'", "[[looks like an expression]"),
        ("'[does not'", "[does not"),
        (r"'it\'s \u{e9} \$ \\'", "it's é $ \\"),
        ("'a${p}b${n}'", "[format('a{0}b{1}', parameters('p'), parameters('n'))]"),
        ("'{${p}}'", "[format('{{{0}}}', parameters('p'))]"),
        ("concat(p, 'it\\'s')", "[concat(parameters('p'), 'it''s')]"),
        ("'${'nested ${p}'}!'", "[format('{0}!', format('nested {0}', parameters('p')))]"),
        ("-3", -3),
        ("4000000000", 4_000_000_000),
        ("4000000000 + n", "[add(json('4000000000'), parameters('n'))]"),
        ("true", True),
        ("null", None),
        ("'  ${p}  ${n}  '", "[format('  {0}  {1}  ', parameters('p'), parameters('n'))]"),
        ("'${p}'", "[format('{0}', parameters('p'))]"),
        ("''", ""),
        ("p == 'a' && n > 2 || !empty(p)",
         "[or(and(equals(parameters('p'), 'a'), greater(parameters('n'), 2)), not(empty(parameters('p'))))]"),
        ("p != 'a' ? (n + 1) * 6 : -n",
         "[if(not(equals(parameters('p'), 'a')), mul(add(parameters('n'), 1), 6), sub(0, parameters('n')))]"),
        ("b\n  ? 'x'\n  : 'y'", "[if(parameters('b'), 'x', 'y')]"),
        ("b ? 1 : !b ? 2 : 3", "[if(parameters('b'), 1, if(not(parameters('b')), 2, 3))]"),
        ("n - 2 - 1", "[sub(sub(parameters('n'), 2), 1)]"),
        ("n -1", "[sub(parameters('n'), 1)]"),
        ("n + 2 * n % 3", "[add(parameters('n'), mod(mul(2, parameters('n')), 3))]"),
        # Accessors bind tighter than the operators before them.
        ("!o.x.y && -o.z == 1",
         "[and(not(parameters('o').x.y), equals(sub(0, parameters('o').z), 1))]"),
        ("p ?? 'x'", "[coalesce(parameters('p'), 'x')]"),
        ("p ?? o.a == 'x'", "[coalesce(parameters('p'), equals(parameters('o').a, 'x'))]"),
        ("p =~ 'A'", "[equals(toLower(parameters('p')), toLower('A'))]"),
        ("p !~ 'A'", "[not(equals(toLower(parameters('p')), toLower('A')))]"),
        ("empty(p) ? [] : [{ a: null, 'b-c': false }]", "[if(empty(parameters('p')), createArray(), "
         "createArray(createObject('a', null(), 'b-c', false())))]"),
        ("{ a: [p, 'x'] }", {"a": ["[parameters('p')]", "x"]}),
        ("{ '${p}-key': 1 }", {"[format('{0}-key', parameters('p'))]": 1}),
        ("resourceGroup().tags['owner'].x[0]", "[resourceGroup().tags.owner.x[0]]"),
        ("o['a-b'][p]", "[parameters('o')['a-b'][parameters('p')]]"),
        ("az.resourceGroup().location", "[resourceGroup().location]"),
        ("sys.concat(p, 'x')", "[concat(parameters('p'), 'x')]"),
        ("any(o.a)", "[parameters('o').a]"),
        ("nameof(o.a)", "a"),
        (r"'\u{D83D}\u{DE00} \u{1F600}'", "😀 😀"),
        ("'''\nraw ${p}'''", "raw ${p}"),
        ("$'''\nraw ${p} $5'''", "[format('raw {0} $5', parameters('p'))]"),
        ("$$'''${p} $${p}'''", "[format('${{p}} {0}', parameters('p'))]"),
        ("'''it''''", "it'"),
    ],
)  # fmt: skip
def test_expressions(expression: str, expected: object) -> None:
    assert variable(expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("o.?a", "[tryGet(parameters('o'), 'a')]"),
        ("o[?'a-b']", "[tryGet(parameters('o'), 'a-b')]"),
        ("l[?n]", "[tryGet(parameters('l'), parameters('n'))]"),
        ("l[^1]", "[indexFromEnd(parameters('l'), 1)]"),
        ("l[?^1]", "[tryIndexFromEnd(parameters('l'), 1)]"),
        # A chain after `?` is null as a whole; parentheses end it.
        ("o.?a.b[0]", "[tryGet(parameters('o'), 'a', 'b', 0)]"),
        ("(o.?a).b", "[tryGet(parameters('o'), 'a').b]"),
        ("o.?a!.b", "[tryGet(parameters('o'), 'a', 'b')]"),
        ("any(o.?a).b", "[tryGet(parameters('o'), 'a', 'b')]"),
        ("o.?a ?? 'x'", "[coalesce(tryGet(parameters('o'), 'a'), 'x')]"),
        ("o!.a!", "[parameters('o').a]"),
    ],
)
def test_safe_access(expression: str, expected: str) -> None:
    assert variable(expression) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("map(l, x => x.name)", "[map(parameters('l'), lambda('x', lambdaVariables('x').name))]"),
        ("filter(l, x => x > 1 && x < n)",
         "[filter(parameters('l'), lambda('x', and(greater(lambdaVariables('x'), 1), "
         "less(lambdaVariables('x'), parameters('n')))))]"),
        ("reduce(l, 0, (a, c) => a + c)",
         "[reduce(parameters('l'), 0, lambda('a', 'c', add(lambdaVariables('a'), lambdaVariables('c'))))]"),
        ("{ a: 1, ...o, b: 2 }",
         "[shallowMerge(createArray(createObject('a', 1), parameters('o'), createObject('b', 2)))]"),
        ("[...l, 1]", "[flatten(createArray(parameters('l'), createArray(1)))]"),
    ],
)  # fmt: skip
def test_lambdas_and_spreads(expression: str, expected: str) -> None:
    assert variable(expression) == expected


def test_loops_in_variables_and_outputs() -> None:
    template = compiled(
        DECLARED
        + """
        var names = [for (item, i) in l: '${i}-${item.name}']
        var objects = [for i in range(0, 3): { number: i }]
        var numbers = [for i in l: 3]
        output all array = [for name in names: toUpper(name)]
        """
    )
    assert template["variables"]["copy"] == [
        {
            "name": "names",
            "count": "[length(parameters('l'))]",
            "input": "[format('{0}-{1}', copyIndex('names'), parameters('l')[copyIndex('names')].name)]",
        },
        {
            "name": "objects",
            "count": "[length(range(0, 3))]",
            "input": {"number": "[range(0, 3)[copyIndex('objects')]]"},
        },
        {"name": "numbers", "count": "[length(parameters('l'))]", "input": "[int(3)]"},
    ]
    assert template["outputs"]["all"] == {
        "type": "array",
        "copy": {
            "count": "[length(variables('names'))]",
            "input": "[toUpper(variables('names')[copyIndex()])]",
        },
    }


def test_parameters_carry_their_decorators() -> None:
    template = compiled(
        """
        @description('Which.')
        @allowed(['a', 'b'])
        @minLength(1)
        param kind string = 'a'
        @sys.secure()
        param key string
        @minValue(1)
        @maxValue(9)
        param count int = 2
        @secure()
        @metadata({ owner: 'me' })
        param things object = {}
        metadata purpose = 'test'
        """
    )
    assert template["parameters"] == {
        "kind": {
            "type": "string",
            "defaultValue": "a",
            "allowedValues": ["a", "b"],
            "minLength": 1,
            "metadata": {"description": "Which."},
        },
        "key": {"type": "securestring"},
        "count": {"type": "int", "defaultValue": 2, "minValue": 1, "maxValue": 9},
        "things": {"type": "secureObject", "defaultValue": {}, "metadata": {"owner": "me"}},
    }
    assert template["metadata"] == {"purpose": "test"}
    assert "languageVersion" not in template


def test_types_of_ones_own_make_a_template_of_the_newer_language() -> None:
    template = compiled(
        """
        @description('A profile.')
        type profile = {
          @minLength(3)
          name: string
          count: int?
          kind: 'cpu' | 'gpu'
          parts: [string, int]
          *: string
        }
        param profiles profile[]
        param maybe string?
        param level 1 | 2 = 1
        output first object = profiles[0]
        """
    )
    assert template["languageVersion"] == "2.0"
    assert template["resources"] == {}
    assert template["definitions"] == {
        "profile": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "minLength": 3},
                "count": {"type": "int", "nullable": True},
                "kind": {"type": "string", "allowedValues": ["cpu", "gpu"]},
                "parts": {
                    "type": "array",
                    "prefixItems": [{"type": "string"}, {"type": "int"}],
                    "items": False,
                },
            },
            "additionalProperties": {"type": "string"},
            "metadata": {"description": "A profile."},
        }
    }
    assert template["parameters"] == {
        "profiles": {"type": "array", "items": {"$ref": "#/definitions/profile"}},
        "maybe": {"type": "string", "nullable": True},
        "level": {"type": "int", "defaultValue": 1, "allowedValues": [1, 2]},
    }


def test_functions_of_ones_own_go_with_the_template() -> None:
    template = compiled(
        """
        @description('Makes a name.')
        func named(prefix string, parts string[]) string => '${prefix}-${join(parts, '-')}'
        output name string = named('a', ['b'])
        """
    )
    assert template["languageVersion"] == "2.0"
    assert template["functions"] == [
        {
            "namespace": "__bicep",
            "members": {
                "named": {
                    "parameters": [
                        {"type": "string", "name": "prefix"},
                        {"type": "array", "items": {"type": "string"}, "name": "parts"},
                    ],
                    "output": {
                        "type": "string",
                        "value": "[format('{0}-{1}', parameters('prefix'), join(parameters('parts'), '-'))]",
                    },
                    "metadata": {"description": "Makes a name."},
                }
            },
        }
    ]
    assert template["outputs"]["name"]["value"] == "[__bicep.named('a', createArray('b'))]"


def test_a_function_uses_variables_and_carries_what_it_loads(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    template = compiled(
        "var end = '!'\nfunc f(a string) string => '${a}${end}${loadTextContent('a.txt')}'",
        tmp_path / "x.bicep",
    )
    (space,) = template["functions"]
    assert space["members"]["f"]["output"]["value"] == (
        "[format('{0}{1}{2}', parameters('a'), variables('end'), 'text')]"
    )
    assert template["variables"] == {"end": "!"}


def test_a_property_named_copy_is_no_loop() -> None:
    assert variable("{ copy: [1], x: { Copy: 2 } }") == {
        "[string('copy')]": [1],
        "x": {"[string('Copy')]": 2},
    }


def test_a_description_is_without_the_indent_of_its_lines() -> None:
    template = compiled("@description('''First.\n    Second.\n\n      Third.''')\nparam p string")
    assert template["parameters"]["p"]["metadata"] == {"description": "First.\nSecond.\n\n  Third."}
