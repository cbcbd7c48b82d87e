"""Bicep's resources: parents, nesting, loops, conditions, existing ones, scopes, and what waits for what."""

from __future__ import annotations

from typing import Any

from tests.azure.bicep_builders import compiled, resource

ENVS = """
param name string
param names array
resource outer 'My.App/envs@2024-01-01' = {
  name: name
}
"""
OUTER_ID = "resourceId('My.App/envs', parameters('name'))"
LOOP = (
    ENVS
    + """
resource many 'My.App/envs@2024-01-01' = [for (item, i) in names: {
  name: '${name}-${item}-${i}'
}]
"""
)


def test_resources_name_their_parents_and_what_they_need() -> None:
    source = f"""{ENVS}
        resource inner 'My.App/envs/parts@2024-01-01' = if (name != 'x') {{
          parent: outer
          name: 'part'
          properties: {{
            id: outer.id
            host: outer.properties.domain.name
            key: outer.listKeys().first
            now: outer.listKeys('2023-01-01', {{ a: 1 }}).first
            place: outer.location
            kind: outer.type
          }}
        }}"""
    outer, inner = compiled(source)["resources"]
    assert "dependsOn" not in outer
    assert inner == {
        "condition": "[not(equals(parameters('name'), 'x'))]",
        "type": "My.App/envs/parts",
        "apiVersion": "2024-01-01",
        "name": "[format('{0}/{1}', parameters('name'), 'part')]",
        "properties": {
            "id": f"[{OUTER_ID}]",
            "host": f"[reference({OUTER_ID}, '2024-01-01').domain.name]",
            "key": f"[listKeys({OUTER_ID}, '2024-01-01').first]",
            "now": f"[listKeys({OUTER_ID}, '2023-01-01', createObject('a', 1)).first]",
            "place": f"[reference({OUTER_ID}, '2024-01-01', 'full').location]",
            "kind": "My.App/envs",
        },
        "dependsOn": [f"[{OUTER_ID}]"],
    }


def test_a_variable_that_reads_a_resource_is_written_out_and_one_that_names_it_is_not() -> None:
    template = compiled(
        ENVS
        + """
        var domain = outer.properties.domain
        var id = outer.id
        output host string = 'x.${domain}'
        resource other 'My.App/others@2024-01-01' = {
          name: id
        }
        """
    )
    assert template["variables"] == {"id": f"[{OUTER_ID}]"}
    assert (
        template["outputs"]["host"]["value"]
        == f"[format('x.{{0}}', reference({OUTER_ID}, '2024-01-01').domain)]"
    )
    assert template["resources"][-1]["dependsOn"] == [f"[{OUTER_ID}]"]


def test_nested_resources_take_type_version_name_and_condition_from_around_them() -> None:
    template = compiled(
        """
        param wanted bool
        resource outer 'My.App/envs@2024-01-01' = if (wanted) {
          name: 'o'
          resource inner 'parts' = {
            name: 'i'
            resource innermost 'pieces@2025-01-01' = if (wanted) {
              name: 'x'
              properties: { of: inner.properties.size }
            }
          }
          resource sibling 'parts' = [for n in range(0, 2): {
            name: 's${n}'
          }]
        }
        output one string = outer::inner::innermost.name
        output two string = outer::sibling[1].id
        """
    )
    kinds = [(entry["type"], entry["apiVersion"], entry["name"]) for entry in template["resources"]]
    assert kinds == [
        ("My.App/envs/parts/pieces", "2025-01-01", "[format('{0}/{1}/{2}', 'o', 'i', 'x')]"),
        ("My.App/envs/parts", "2024-01-01", "[format('{0}/{1}', 'o', 'i')]"),
        (
            "My.App/envs/parts",
            "2024-01-01",
            "[format('{0}/{1}', 'o', format('s{0}', range(0, 2)[copyIndex()]))]",
        ),
        ("My.App/envs", "2024-01-01", "o"),
    ]
    innermost = template["resources"][0]
    wanted = "parameters('wanted')"
    assert innermost["condition"] == f"[and({wanted}, {wanted})]"
    assert innermost["dependsOn"] == ["[resourceId('My.App/envs/parts', 'o', 'i')]"]
    assert template["resources"][2]["copy"] == {"name": "outer::sibling", "count": "[length(range(0, 2))]"}
    assert template["outputs"]["one"]["value"] == "x"
    assert template["outputs"]["two"]["value"] == (
        "[resourceId('My.App/envs/parts', 'o', format('s{0}', range(0, 2)[1]))]"
    )


def test_a_name_with_slashes_stands_for_its_parents() -> None:
    source = """
        resource part 'My.App/envs/parts@2024-01-01' = {
          name: 'o/i'
        }
        output id string = part.id
        """
    template = compiled(source)
    assert template["resources"][0]["name"] == "o/i"
    assert template["outputs"]["id"]["value"] == (
        "[resourceId('My.App/envs/parts', split('o/i', '/')[0], split('o/i', '/')[1])]"
    )


def looped(name: str, more: str) -> dict[str, Any]:
    return resource(LOOP + more, name)


def test_loops_of_resources_with_items_indices_and_batches() -> None:
    source = LOOP.replace("resource many", "@batchSize(2)\nresource many").replace(
        "in names:", "in names: if (i > 0)"
    )
    (many,) = [entry for entry in compiled(source)["resources"] if "copy" in entry]
    assert many == {
        "copy": {"name": "many", "count": "[length(parameters('names'))]", "mode": "serial", "batchSize": 2},
        "condition": "[greater(copyIndex(), 0)]",
        "type": "My.App/envs",
        "apiVersion": "2024-01-01",
        "name": "[format('{0}-{1}-{2}', parameters('name'), parameters('names')[copyIndex()], copyIndex())]",
    }


def test_one_of_a_loop_is_named_by_its_index() -> None:
    one = looped(
        "one", "resource r 'My.App/others@2024-01-01' = {\n  name: 'one'\n  host: many[2].properties.host\n}"
    )
    many_id = (
        "resourceId('My.App/envs', format('{0}-{1}-{2}', parameters('name'), parameters('names')[2], 2))"
    )
    assert one["host"] == f"[reference({many_id}, '2024-01-01').host]"
    assert one["dependsOn"] == [f"[{many_id}]"]


def test_all_of_a_loop_is_named_by_its_symbol_and_covers_the_ones() -> None:
    body = "{\n  name: 'all'\n  id: many[0].id\n  dependsOn: [many, outer, many[1]]\n}"
    all_of_it = looped("all", f"resource r 'My.App/others@2024-01-01' = {body}")
    assert all_of_it["dependsOn"] == ["many", f"[{OUTER_ID}]"]


def test_an_index_of_a_loop_in_the_body_waits_for_all() -> None:
    body = "{\n  name: 'all'\n  ids: [for i in range(0, 3): many[i].id]\n}"
    all_of_it = looped("all", f"resource r 'My.App/others@2024-01-01' = {body}")
    many_id = (
        "resourceId('My.App/envs', format('{0}-{1}-{2}', parameters('name'), "
        "parameters('names')[range(0, 3)[copyIndex('ids')]], range(0, 3)[copyIndex('ids')]))"
    )
    assert all_of_it["copy"] == [{"name": "ids", "count": "[length(range(0, 3))]", "input": f"[{many_id}]"}]
    assert all_of_it["dependsOn"] == ["many"]


def test_loops_side_by_side_wait_pairwise() -> None:
    source = LOOP + (
        "resource pair 'My.App/others@2024-01-01' = [for (x, k) in names: {"
        "\n  name: 'p${k}'\n  of: many[k].id\n}]"
    )
    pair = compiled(source)["resources"][-1]
    assert pair["dependsOn"] == [
        "[resourceId('My.App/envs', format('{0}-{1}-{2}', parameters('name'), "
        "parameters('names')[copyIndex()], copyIndex()))]"
    ]


def test_loops_of_properties_may_be_in_each_other() -> None:
    one = looped(
        "one",
        """
        resource r 'My.App/others@2024-01-01' = {
          name: 'one'
          properties: {
            rows: [for row in names: {
              cells: [for (cell, c) in row.cells: '${row.name}${cell}${c}']
            }]
            plain: 1
          }
        }
        """,
    )
    row = "parameters('names')[copyIndex('rows')]"
    cell = f"{row}.cells[copyIndex('cells')]"
    assert one["properties"] == {
        "copy": [
            {
                "name": "rows",
                "count": "[length(parameters('names'))]",
                "input": {
                    "copy": [
                        {
                            "name": "cells",
                            "count": f"[length({row}.cells)]",
                            "input": f"[format('{{0}}{{1}}{{2}}', {row}.name, {cell}, copyIndex('cells'))]",
                        }
                    ]
                },
            }
        ],
        "plain": 1,
    }


def test_existing_resources_are_named_and_not_deployed() -> None:
    template = compiled(
        """
        param group string
        resource vault 'My.App/envs@2024-01-01' existing = {
          name: 'v'
          scope: resourceGroup(group)
        }
        resource here 'My.App/envs@2024-01-01' existing = {
          name: made.name
        }
        resource role 'My.App/roles@2024-01-01' existing = {
          name: 'r'
          scope: subscription()
        }
        resource made 'My.App/others@2024-01-01' = {
          name: 'm'
        }
        resource part 'My.App/envs/parts@2024-01-01' = {
          parent: here
          name: 'p'
          uri: vault.properties.uri
          role: role.id
        }
        """
    )
    made, part = template["resources"]
    assert made["name"] == "m"
    group_id = (
        "format('/subscriptions/{0}/resourceGroups/{1}', subscription().subscriptionId, parameters('group'))"
    )
    assert (
        part["uri"] == f"[reference(extensionResourceId({group_id}, 'My.App/envs', 'v'), '2024-01-01').uri]"
    )
    assert part["role"] == "[subscriptionResourceId('My.App/roles', 'r')]"
    assert part["name"] == "[format('{0}/{1}', 'm', 'p')]"
    # What is there already need not be waited for; but its name comes from what is not.
    assert part["dependsOn"] == ["[resourceId('My.App/others', 'm')]"]


def test_a_resource_on_a_resource_has_that_as_its_scope() -> None:
    source = ENVS + (
        "resource lock 'My.Auth/locks@2024-01-01' = {\n  name: 'l'\n  scope: outer\n}"
        "\noutput id string = lock.id"
    )
    template = compiled(source)
    lock = template["resources"][-1]
    assert (lock["scope"], lock["dependsOn"]) == (f"[{OUTER_ID}]", [f"[{OUTER_ID}]"])
    assert template["outputs"]["id"]["value"] == f"[extensionResourceId({OUTER_ID}, 'My.Auth/locks', 'l')]"


def test_safe_access_to_a_resource_asks_for_its_condition() -> None:
    source = """
        param wanted bool
        resource r 'My.App/envs@2024-01-01' = if (wanted) {
          name: 'r'
        }
        output id string = r.?id ?? ''
        output host string = r.?properties.host ?? ''
        """
    outputs = compiled(source)["outputs"]
    rid = "resourceId('My.App/envs', 'r')"
    assert outputs["id"]["value"] == f"[coalesce(if(parameters('wanted'), {rid}, null()), '')]"
    read = f"if(parameters('wanted'), reference({rid}, '2024-01-01', 'full'), null())"
    assert outputs["host"]["value"] == f"[coalesce(tryGet({read}, 'properties', 'host'), '')]"


def test_where_the_template_keeps_symbols_resources_are_named_by_them() -> None:
    template = compiled(
        LOOP
        + """
        param maybe string?
        resource old 'My.App/envs@2024-01-01' existing = {
          name: 'old'
        }
        resource user 'My.App/others@2024-01-01' = {
          name: 'u'
          a: outer.properties.host
          b: many[1].listKeys().first
          c: old.properties.host
          d: old.location
        }
        """
    )
    resources = template["resources"]
    assert list(resources) == ["outer", "many", "old", "user"]
    assert resources["old"] == {
        "existing": True,
        "type": "My.App/envs",
        "apiVersion": "2024-01-01",
        "name": "old",
    }
    user = resources["user"]
    assert user["a"] == "[reference('outer').host]"
    assert user["b"] == "[listKeys(format('many[{0}]', 1), '2024-01-01').first]"
    assert user["c"] == "[reference('old').host]"
    assert user["d"] == "[reference('old', '2024-01-01', 'full').location]"
    assert user["dependsOn"] == ["[format('many[{0}]', 1)]", "old", "outer"]


def test_options_of_a_resource_are_written_beside_its_type() -> None:
    template = compiled(
        """
        @onlyIfNotExists()
        @retryOn(['Conflict'], 3)
        resource r 'My.App/envs@2024-01-01' = {
          name: 'r'
        }
        """
    )
    assert template["languageVersion"] == "2.0"
    assert template["resources"]["r"]["@options"] == {"onlyIfNotExists": [], "retryOn": [["Conflict"], 3]}


def test_an_item_waits_once_for_each_place_that_selects_it() -> None:
    source = (
        LOOP
        + """
        resource user 'My.App/others@2024-01-01' = {
          name: 'u'
          a: many[0].properties.host
          b: many[0].properties.host
          c: BODY
          dependsOn: [outer, outer]
        }
        """
    )
    first = (
        "[resourceId('My.App/envs', format('{0}-{1}-{2}', parameters('name'), parameters('names')[0], 0))]"
    )
    (user,) = [entry for entry in compiled(source.replace("BODY", "1"))["resources"] if entry["name"] == "u"]
    assert user["dependsOn"] == [first, first, f"[{OUTER_ID}]"]
    (user,) = [
        entry
        for entry in compiled(source.replace("BODY", "map(range(0, 2), i => many[i].id)"))["resources"]
        if entry["name"] == "u"
    ]
    assert user["dependsOn"] == ["many", f"[{OUTER_ID}]"]


def test_depends_on_can_be_an_expression() -> None:
    user = """
        resource user 'My.App/others@2024-01-01' = {
          name: nameof(last)
          dependsOn: empty(names) ? [outer] : [...[many], any(third)]
        }
        resource third 'My.App/envs@2024-01-01' = {
          name: 'third'
        }
        resource last 'My.App/envs@2024-01-01' = {
          name: 'last'
        }
        """
    (found,) = [entry for entry in compiled(LOOP + user)["resources"] if entry["type"] == "My.App/others"]
    assert found["name"] == "last"
    assert found["dependsOn"] == [
        "[resourceId('My.App/envs', 'last')]",
        "many",
        f"[{OUTER_ID}]",
        "[resourceId('My.App/envs', 'third')]",
    ]
