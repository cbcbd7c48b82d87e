"""Whatever is sent as a template or a body is answered: by a resource or a refusal, never by a 500."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.emulator.arm.templates import Json, inner, nested, template, workspace

if TYPE_CHECKING:
    from tests.emulator.arm.conftest import RunningCloud

_VERSION = {"api-version": "2022-09-01"}
_ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(None, True, 0, -1, 2.5, 10**20, "", "x", "[", "[]", "[parameters('p')]", "[variables('v')]"),
        *("[copyIndex()]", "[reference('a').b]", "[if(true())]", "[lambda('x')]", "[null()]", "[[x]"),
        *("[json('{a:1}')]", "[map(createArray(1), 2)]", "[range(0, 10000)]", "\u0000", "é", "a/b", "../.."),
        *(
            [],
            {},
            [None],
            [[]],
            {"": None},
            {"copy": [{}]},
            {"value": None},
            [{"name": 1, "count": {}, "input": 0}],
        ),
    ]
)
_WHOLE: Json = {
    "properties": {
        "mode": "Incremental",
        "parameters": {"p": {"value": "x"}},
        "whatIfSettings": {"resultFormat": "FullResourcePayloads"},
        "template": template(
            [
                workspace(
                    "[concat('a', copyIndex())]",
                    copy={"name": "l", "count": 1, "mode": "serial", "batchSize": 1},
                    tags={"a": "b"},
                    properties={"sku": {"name": "x"}, "copy": [{"name": "n", "count": 1, "input": 1}]},
                    condition=True,
                ),
                nested(
                    "n",
                    template([workspace("inside")], outputs={"o": {"type": "string", "value": "x"}}),
                    resourceGroup="there",
                    dependsOn=["l"],
                    properties=inner(),
                ),
                {
                    **workspace("files01"),
                    "type": "Microsoft.Storage/storageAccounts",
                    "sku": {"name": "Standard_LRS"},
                    "kind": "StorageV2",
                    "properties": {"accessTier": "Hot"},
                },
            ],
            parameters={"p": {"type": "string", "defaultValue": "", "allowedValues": ["x"], "minLength": 0}},
            variables={"v": "[parameters('p')]", "copy": [{"name": "w", "count": 1, "input": "x"}]},
            functions=[
                {
                    "namespace": "f",
                    "members": {"g": {"parameters": [{"name": "x", "type": "int"}], "output": {"value": 1}}},
                }
            ],
            outputs={"o": {"type": "int", "value": "[f.g(1)]"}},
            definitions={"d": {"type": "string"}},
        ),
    }
}


@pytest.fixture(scope="module")
def client(
    tmp_path_factory: pytest.TempPathFactory, module_cloud_at: Callable[..., Any]
) -> Iterator[httpx.Client]:
    running: RunningCloud
    with module_cloud_at(tmp_path_factory.mktemp("fuzz") / "cloud") as running:
        for name in ("here", "there"):
            running.resources().resource_groups.create_or_update(name, {"location": "eastus"})
        with running.http() as http:
            http.base_url = httpx.URL(f"{running.connection.arm_url}{running.groups_path}/here/")
            yield http


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a document, outermost first."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def changed(document: Json, path: tuple[Any, ...], odd: Any) -> Any:
    """The document with something else in one place."""
    if not path:
        return odd
    copied = copy.deepcopy(document)
    inside: Any = copied
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = odd
    return copied


def check(answer: httpx.Response, body: Any) -> None:
    assert answer.status_code < 500, f"{answer.request.method} {answer.request.url}: {json.dumps(body)}"
    if answer.status_code >= 400:
        assert set(answer.json()["error"]) >= {"code", "message"}


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(list(places(_WHOLE))), odd=_ODD)
def test_templates_with_something_odd_in_them(client: httpx.Client, path: tuple[Any, ...], odd: Any) -> None:
    body = changed(_WHOLE, path, odd)
    one = "providers/Microsoft.Resources/deployments/fuzz"
    for action in ("validate", "whatIf"):
        answer = client.post(f"{one}/{action}", params=_VERSION, json=body)
        check(answer, body)
        if answer.status_code == 202:
            check(client.get(answer.headers["location"]), body)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(list(places(_WHOLE))), odd=_ODD)
def test_deployments_of_them_come_to_an_end(client: httpx.Client, path: tuple[Any, ...], odd: Any) -> None:
    body = changed(_WHOLE, path, odd)
    put = client.put("providers/Microsoft.Resources/deployments/fuzz", params=_VERSION, json=body)
    check(put, body)
    if put.status_code < 300:
        status: Json = {"status": "Running"}
        while status["status"] in ("Accepted", "Running"):
            answer = client.get(put.headers["azure-asyncoperation"])
            check(answer, body)
            status = answer.json()
        error: Json = status.get("error") or {}
        assert "InternalServerError" not in json.dumps(error), json.dumps([body, error])


_RESOURCES = {
    "Microsoft.Storage/storageAccounts/fuzzfiles": {
        "location": "eastus",
        "sku": {"name": "Standard_LRS"},
        "kind": "StorageV2",
        "tags": {"a": "b"},
        "properties": {"accessTier": "Hot"},
    },
    "Microsoft.OperationalInsights/workspaces/fuzz-logs": {
        "location": "eastus",
        "properties": {"sku": {"name": "PerGB2018"}, "retentionInDays": 30},
    },
}


@pytest.mark.parametrize("name", _RESOURCES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), odd=_ODD, method=st.sampled_from(["PUT", "PATCH", "POST"]))
def test_resources_with_something_odd_in_them(
    client: httpx.Client, name: str, data: st.DataObject, odd: Any, method: str
) -> None:
    document = _RESOURCES[name]
    body = changed(document, data.draw(st.sampled_from(list(places(document)))), odd)
    path = f"providers/{name}/{'listKeys' if method == 'POST' else ''}".rstrip("/")
    check(client.request(method, path, params=_VERSION, json=body), body)
    check(client.get(f"providers/{name}", params=_VERSION), body)
    check(client.get("resources", params=_VERSION), body)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.lists(
        st.sampled_from(
            [
                "providers",
                "Microsoft.App",
                "Microsoft.Resources",
                "tags",
                "default",
                "deployments",
                "%00",
                "é",
                "..",
                "",
                "x",
            ]
        ),
        max_size=8,
    ),
    method=st.sampled_from(["GET", "PUT", "PATCH", "DELETE", "POST", "HEAD"]),
    query=st.dictionaries(
        st.sampled_from(["$filter", "$top", "api-version", "monitor"]), st.text(max_size=12), max_size=3
    ),
)
def test_paths_that_lead_nowhere(
    client: httpx.Client, path: list[str], method: str, query: dict[str, str]
) -> None:
    answer = client.request(method, "/".join(path) or "x", params={**_VERSION, **query}, content=b"{}")
    assert answer.status_code < 500, f"{method} {answer.request.url}"
